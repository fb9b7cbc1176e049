"""What nobody uses any more leaves the memory, though no page asks for it to be looked for."""

import gc
import weakref

import pytest

from ui import memory


class Ring:
    """Something that holds itself."""

    def __init__(self):
        self.me = self


@pytest.fixture
def unasked(monkeypatch):
    monkeypatch.setattr(memory, "_next", 0.0)
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("unasked")
def test_what_holds_itself_goes_at_most_every_few_seconds():
    seen = [weakref.ref(Ring()) for _ in range(2)]
    memory.give_back()
    assert [one() for one in seen] == [None, None]
    late = weakref.ref(Ring())
    memory.give_back()
    assert late() is not None


@pytest.mark.usefixtures("unasked")
def test_what_was_there_at_the_start_is_passed_over():
    try:
        memory.settle()
        assert gc.get_freeze_count() > 1000
        later = weakref.ref(Ring())
        memory.give_back()
        assert later() is None
    finally:
        gc.unfreeze()
