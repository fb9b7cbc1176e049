"""The tables of the journal, as they were first and as they changed."""

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        task TEXT NOT NULL,
        title TEXT NOT NULL,
        params TEXT NOT NULL,
        dataset TEXT,
        hidden INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'queued',
        attempt INTEGER NOT NULL DEFAULT 0,
        resumed INTEGER NOT NULL DEFAULT 0,
        fraction REAL NOT NULL DEFAULT 0,
        first_fraction REAL,
        message TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        queued REAL NOT NULL,
        started REAL,
        updated REAL NOT NULL,
        finished REAL,
        error TEXT,
        result TEXT
    );
    CREATE INDEX jobs_by_state ON jobs (state, hidden, queued);
    CREATE INDEX jobs_by_dataset ON jobs (dataset, created);
    CREATE TABLE history (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        figures TEXT NOT NULL
    );
    CREATE INDEX history_by_job ON history (job, number);
    CREATE TABLE service (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        pid INTEGER NOT NULL,
        started REAL NOT NULL,
        beat REAL NOT NULL,
        warm INTEGER NOT NULL,
        workers INTEGER NOT NULL,
        memory_gb REAL,
        scheduler TEXT,
        message TEXT NOT NULL
    );
    CREATE TABLE clients (name TEXT PRIMARY KEY, beat REAL NOT NULL);
    """,
    """
    ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    CREATE INDEX jobs_by_owner ON jobs (owner, state);
    CREATE TABLE turns (owner TEXT PRIMARY KEY, served INTEGER NOT NULL);
    """,
)
"""One script for each version of the layout; the file says in `user_version` how many were applied."""
