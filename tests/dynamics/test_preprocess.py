"""Preparing a data set: what is planned, what is done, what is reused, and what is refused."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dynamics import blood, embedding, preprocess, read
from dynamics.errors import DataError, SettingsError, Stopped
from dynamics.preprocess import PrepareConfig, plan, prepare

NO_MAP = PrepareConfig(umap="skip")


@pytest.fixture(scope="module")
def demo():
    return blood.simulate(seed=0, n_cells=400)


@pytest.fixture(scope="module")
def prepared(demo):
    """The whole pipeline once; umap-learn compiles once."""
    return prepare(demo)


@pytest.fixture
def counts(rng):
    """Small counts of three groups of cells, with a column of obs."""
    group = np.arange(90) % 3
    mean = rng.gamma(1.0, 3.0, (3, 60))[group] * rng.lognormal(0, 0.2, (90, 1))
    adata = ad.AnnData(rng.poisson(mean).astype(np.float32))
    adata.obs["group"] = pd.Categorical([f"group {k}" for k in group])
    return adata


def actions(steps) -> dict[str, str]:
    return {step.name: step.action for step in steps}


def test_counts_go_through_every_step(demo, prepared):
    assert set(actions(plan(demo)).values()) == {"do"}
    assert prepared.obsm["X_umap"].shape == (prepared.n_obs, 2)
    assert prepared.varm["PCs"].shape == (200, 50)
    assert prepared.uns["neighbors"]["params"]["n_neighbors"] == 15
    totals = np.expm1(prepared.X.toarray()).sum(axis=1)
    np.testing.assert_allclose(totals, prepared.uns["driftscope_prepare"]["target_sum"], rtol=1e-4)
    kept = demo[prepared.obs_names]
    assert (prepared.layers["counts"] != kept.X).nnz == 0


def test_the_components_are_the_centred_values_times_the_loadings(prepared):
    values = prepared.X.toarray()
    expected = (values - values.mean(axis=0)) @ prepared.varm["PCs"]
    np.testing.assert_allclose(prepared.obsm["X_pca"], expected, atol=2e-3)


def test_the_input_is_not_changed_and_the_columns_of_obs_stay(demo, prepared):
    fresh = blood.simulate(seed=0, n_cells=400)
    assert (demo.X != fresh.X).nnz == 0
    assert list(demo.obs.columns) == list(fresh.obs.columns)
    assert "X_pca" not in demo.obsm
    for column in fresh.obs.columns:
        kept, original = prepared.obs[column], fresh.obs.loc[prepared.obs_names, column]
        assert kept.astype(str).tolist() == original.astype(str).tolist()


def test_preparing_twice_reuses_everything(prepared):
    again = plan(prepared)
    assert set(actions(again).values()) <= {"skip", "reuse"}
    assert actions(again)["umap"] == "reuse"
    np.testing.assert_array_equal(prepare(prepared).obsm["X_umap"], prepared.obsm["X_umap"])


def test_the_same_seed_gives_the_same_map_and_the_map_places_new_cells(demo, prepared):
    again = prepare(demo)
    np.testing.assert_array_equal(again.obsm["X_pca"], prepared.obsm["X_pca"])
    np.testing.assert_array_equal(again.obsm["X_umap"], prepared.obsm["X_umap"])
    placed = embedding.transform(prepared, prepared.obsm["X_pca"][:30])
    np.testing.assert_array_equal(placed, prepared.obsm["X_umap"][:30])


def test_the_map_shows_the_branches(prepared):
    """Cells of one mature type lie together, apart from those of the other two."""
    xy = prepared.obsm["X_umap"]
    fates = prepared.obs["cell_type"].astype(str).to_numpy()
    centres = {name: np.median(xy[fates == name], axis=0) for name in ("Erythroid", "Monocyte", "Neutrophil")}
    for name, centre in centres.items():
        own = np.median(np.linalg.norm(xy[fates == name] - centre, axis=1))
        others = [np.linalg.norm(centre - c) for other, c in centres.items() if other != name]
        assert min(others) > 1.5 * own


def test_the_result_survives_writing_and_reading(prepared, tmp_path):
    read.write_h5ad(prepared, tmp_path / "prepared.h5ad")
    again = read.read_h5ad(tmp_path / "prepared.h5ad")
    record = again.uns["driftscope_prepare"]
    assert json.loads(record["settings"])["n_top_genes"] == 2000
    assert [step["action"] for step in json.loads(record["steps"])] == ["do"] * 7
    assert record["cells_before"] - record["cells_after"] == record["cells_removed"]
    states = prepared.obsm["X_pca"][:20] + 0.01
    np.testing.assert_allclose(
        embedding.transform(again, states), embedding.transform(prepared, states), atol=1e-4
    )


@pytest.mark.parametrize(
    ("form", "dtype"),
    [("dense", dtype) for dtype in ("int64", "uint8", "float16", ">f8", "bool")]
    + [(form, dtype) for form in ("csr", "csc") for dtype in ("int64", "float64", "bool")],
)
def test_the_result_does_not_depend_on_how_counts_are_stored(counts, dtype, form):
    values = np.minimum(counts.X, 1 if dtype == "bool" else 200)
    if dtype == "bool":
        values[0, 0] = 0
    stored = values.astype(dtype)
    if form != "dense":
        stored = sparse.csr_matrix(stored) if form == "csr" else sparse.csc_matrix(stored)
    result = prepare(ad.AnnData(stored, obs=counts.obs), NO_MAP)
    expected = prepare(ad.AnnData(values.astype(np.float32), obs=counts.obs), NO_MAP)
    assert result.X.dtype == np.float32
    dense = result.X.toarray() if sparse.issparse(result.X) else result.X
    np.testing.assert_allclose(dense, expected.X, rtol=1e-5)
    cosine = np.abs((result.obsm["X_pca"][:, 0] * expected.obsm["X_pca"][:, 0]).sum())
    assert cosine == pytest.approx((expected.obsm["X_pca"][:, 0] ** 2).sum(), rel=1e-3)


def test_log_values_are_taken_as_they_are(counts):
    first = prepare(counts, NO_MAP)
    logged = ad.AnnData(first.X.copy())
    steps = actions(plan(logged, NO_MAP))
    assert (steps["quality"], steps["normalise"], steps["log"], steps["pca"]) == (
        "skip",
        "skip",
        "skip",
        "do",
    )
    np.testing.assert_array_equal(prepare(logged, NO_MAP).X, first.X)


def test_normalised_values_are_only_logged(counts):
    scaled = counts.X / counts.X.sum(axis=1, keepdims=True) * 1e4
    steps = actions(plan(ad.AnnData(scaled), NO_MAP))
    assert (steps["normalise"], steps["log"]) == ("skip", "do")
    np.testing.assert_allclose(prepare(ad.AnnData(scaled), NO_MAP).X, np.log1p(scaled), rtol=1e-6)


def test_z_scores_go_to_the_components_directly(counts):
    z = np.log1p(counts.X)
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    result = prepare(ad.AnnData(z), NO_MAP)
    np.testing.assert_array_equal(result.X, z)
    assert "X_pca" in result.obsm


def test_counts_in_a_layer_are_used_instead_of_z_scores(counts):
    z = (counts.X - counts.X.mean(axis=0)) / counts.X.std(axis=0)
    adata = ad.AnnData(z, layers={"counts": counts.X})
    assert "counts holds the counts" in plan(adata, NO_MAP)[1].reason
    np.testing.assert_allclose(prepare(adata, NO_MAP).X, prepare(counts, NO_MAP).X, rtol=1e-6)


def test_arrays_without_genes_are_enough(rng):
    adata = ad.AnnData(obs=pd.DataFrame(index=[f"c{k}" for k in range(80)]))
    adata.obsm["X_latent"] = rng.normal(size=(80, 6))
    steps = actions(plan(adata))
    assert steps == {
        **dict.fromkeys(["quality", "normalise", "log", "genes"], "skip"),
        "pca": "reuse",
        "neighbours": "do",
        "umap": "do",
    }
    result = prepare(adata)
    assert result.obsm["X_umap"].shape == (80, 2)
    assert result.uns["umap"]["params"]["use_rep"] == "X_latent"


def test_states_of_two_dimensions_are_their_own_map(rng):
    adata = ad.AnnData(obs=pd.DataFrame(index=[f"c{k}" for k in range(80)]))
    adata.obsm["X_pca"] = rng.normal(size=(80, 2))
    assert "umap" not in [step.name for step in plan(adata) if step.action == "do"]
    assert list(prepare(adata).obsm) == ["X_pca"]


def test_what_is_there_is_reused_unless_it_cannot_be(counts, rng):
    counts.obsm["X_pca"] = rng.normal(size=(90, 8))
    counts.obsm["X_umap"] = rng.normal(size=(90, 2))
    steps = actions(plan(counts))
    assert (steps["quality"], steps["pca"], steps["umap"]) == ("skip", "reuse", "reuse")
    counts.obsm["X_umap"][4] = np.nan
    umap = plan(counts)[-1]
    assert umap.action == "do"
    assert "missing or infinite values in 1 of 90 cells" in umap.reason
    counts.obsm["X_umap"][:] = 3.0
    assert "all cells in one place" in plan(counts)[-1].reason


def test_redoing_the_components_redoes_what_rests_on_them(prepared):
    steps = actions(plan(prepared, PrepareConfig(pca="redo")))
    assert (steps["pca"], steps["neighbours"], steps["umap"]) == ("do", "do", "do")


@pytest.mark.parametrize("name", ["quality", "normalise", "log", "genes", "pca", "neighbours", "umap"])
def test_each_step_can_be_skipped(counts, name):
    config = PrepareConfig.from_mapping({"umap": "skip", name: "skip"})
    steps = plan(counts, config)
    assert actions(steps)[name] == "skip"
    assert "as you chose" in next(step for step in steps if step.name == name).reason
    prepare(counts, config)


def test_cells_without_counts_are_removed_and_counted(counts):
    counts.X[[3, 50]] = 0
    result = prepare(counts, NO_MAP)
    assert result.n_obs == 88
    assert result.uns["driftscope_prepare"]["cells_without_counts"] == 2
    assert counts.obs_names[3] not in result.obs_names


def test_constant_genes_and_repeated_cells_do_no_harm(counts):
    counts.X[:, 5] = 2
    counts.X[10:20] = counts.X[10]
    assert np.isfinite(prepare(counts, NO_MAP).obsm["X_pca"]).all()


def test_fewer_genes_than_asked_for_are_all_used_and_more_are_ranked(counts):
    assert prepare(counts, NO_MAP).var["highly_variable"].all()
    result = prepare(counts, PrepareConfig(umap="skip", n_top_genes=20))
    assert result.var["highly_variable"].sum() == 20
    assert result.n_vars == 60
    unused = ~result.var["highly_variable"].to_numpy()
    assert not result.varm["PCs"][unused].any()


@pytest.mark.parametrize(("bad", "words"), [(np.nan, "1 missing"), (np.inf, "1 infinite")])
def test_gaps_in_the_values_are_counted(counts, bad, words):
    counts.X[7, 9] = bad
    with pytest.raises(DataError, match=f"{words}.* in 1 cells and 1 genes"):
        prepare(counts, NO_MAP)


def test_gaps_in_a_matrix_that_no_step_reads_do_no_harm(counts, rng):
    counts.X[7, 9] = np.nan
    counts.obsm["X_pca"] = rng.normal(size=(90, 8))
    config = PrepareConfig(normalise="skip", log="skip", umap="skip")
    np.testing.assert_array_equal(prepare(counts, config).X, counts.X)


def test_complex_values_and_constant_values_are_refused(counts):
    with pytest.raises(DataError, match="complex"):
        prepare(ad.AnnData(counts.X.astype(complex)), NO_MAP)
    with pytest.raises(DataError, match="differs between the 90 cells"):
        prepare(ad.AnnData(np.full((90, 60), 1.5, np.float32)), PrepareConfig(umap="skip", log="skip"))


def test_nothing_to_work_with_is_said():
    adata = ad.AnnData(obs=pd.DataFrame(index=list("abcdefgh")))
    with pytest.raises(DataError, match="nothing to prepare"):
        plan(adata)
    with pytest.raises(DataError, match="4 cells; at least 5"):
        prepare(ad.AnnData(np.ones((4, 3), np.float32) * [[1, 2, 3]]))


def test_thresholds_that_leave_too_little_are_named(counts):
    with pytest.raises(DataError, match=r"keep 0 of 90 cells .* genes at least 61"):
        prepare(counts, PrepareConfig(min_genes=61))


def test_thresholds_of_the_user_are_followed(counts):
    fewest = float(np.sort(counts.X.sum(axis=1))[10])
    result = prepare(counts, PrepareConfig(umap="skip", min_counts=fewest))
    assert result.n_obs == 80


def test_progress_rises_and_a_stop_stops(counts):
    seen = []

    def watch(fraction, message):
        seen.append((fraction, message))
        return len(seen) < 4

    with pytest.raises(Stopped):
        prepare(counts, NO_MAP, progress=watch)
    assert len(seen) == 4
    seen.clear()
    prepare(counts, NO_MAP, progress=lambda fraction, message: not seen.append(fraction))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_settings_are_read_from_text_and_checked():
    config = PrepareConfig.from_mapping({"min_genes": "200", "max_mitochondrial": "none", "n_map_dims": "3"})
    assert (config.min_genes, config.max_mitochondrial, config.n_map_dims) == (200, None, 3)
    assert PrepareConfig.from_mapping(config.to_json()) == config
    for values, words in [
        ({"n_genes": 5}, "no setting 'n_genes'.*n_top_genes"),
        ({"umap": "maybe"}, "umap must be one of auto, redo, skip"),
        ({"n_pcs": "many"}, "n_pcs must be a number"),
        ({"n_pcs": 2.5}, "whole number"),
        ({"n_pcs": 1000}, "between 2 and 200"),
        ({"min_counts": 10, "max_counts": 5}, "no cell can pass both"),
    ]:
        with pytest.raises(SettingsError, match=words):
            PrepareConfig.from_mapping(values)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "done", "rep"),
    [
        ("celegans_embryo_counts", {"quality", "normalise", "log", "genes", "pca"}, "X_pca"),
        ("reprogramming_3day", {"genes", "pca"}, "X_pca"),
        ("larry_clones_small", {"log"}, "X_pca"),
        ("pancreas_spliced_unspliced", {"normalise", "log"}, "X_pca"),
        ("emt_latent10", set(), "X_latent"),
        ("eb_phate2d", set(), "X_phate"),
    ],
)
def test_real_files_are_prepared(shared_data, name, done, rep):
    adata = read.read_h5ad(shared_data / f"{name}.h5ad")
    steps = plan(adata, NO_MAP)
    assert {step.name for step in steps if step.action == "do"} == done
    result = prepare(adata, NO_MAP)
    assert np.isfinite(result.obsm[rep]).all()
    assert result.n_obs > 0.97 * adata.n_obs
    assert list(result.obs.columns[: adata.obs.shape[1]]) == list(adata.obs.columns)


def test_titles_cover_all_steps():
    assert set(preprocess.DO) == set(preprocess.SHARES) == {step.name for step in plan(ad.AnnData(np.eye(9)))}
