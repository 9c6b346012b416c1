-- Version 1 of the job store. Times are microseconds since the epoch; columns of JSON hold the stored forms of `runner-core`.

CREATE TABLE feeds (
    feed_key INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Outlives every job: a seq is never given twice.
    last_seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE jobs (
    job_key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    feed_key INTEGER NOT NULL REFERENCES feeds (feed_key),
    seq INTEGER NOT NULL,
    -- What its creator gave; never changed.
    body TEXT NOT NULL,
    created_us INTEGER NOT NULL,
    state TEXT NOT NULL,
    parts_state TEXT NOT NULL,
    ended_us INTEGER,
    attempt INTEGER NOT NULL,
    worker TEXT,
    lease_expires_us INTEGER,
    retry_at_us INTEGER,
    -- The rest of what changes while it runs.
    progress TEXT NOT NULL,
    UNIQUE (feed_key, seq)
);

-- Runs of one feed exclude each other, whatever the code above believes.
CREATE UNIQUE INDEX one_unfinished_job ON jobs (feed_key)
WHERE state IN ('queued', 'preparing', 'running', 'gating', 'committing');

CREATE INDEX jobs_to_claim ON jobs (created_us)
WHERE state IN ('queued', 'preparing', 'running', 'gating', 'committing');

CREATE INDEX jobs_to_discard ON jobs (job_key) WHERE parts_state = 'leftover';

CREATE TABLE idempotency_keys (
    tenant TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    PRIMARY KEY (tenant, idempotency_key)
) WITHOUT ROWID;

CREATE INDEX idempotency_keys_of_job ON idempotency_keys (job_key);

-- Where each table of a job stands.
CREATE TABLE loads (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    load_id TEXT NOT NULL,
    prepared TEXT,
    written TEXT,
    abandoned TEXT,
    PRIMARY KEY (job_key, load_id)
) WITHOUT ROWID;

CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    at_us INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    name TEXT NOT NULL,
    details TEXT NOT NULL
);

CREATE INDEX events_of_job ON events (job_key, number);

CREATE TABLE streams (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    -- The last barrier, so that its repeat counts nothing.
    barrier_attempt INTEGER NOT NULL,
    barrier INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    bytes_read INTEGER NOT NULL,
    observed TEXT NOT NULL,
    PRIMARY KEY (job_key, stream)
) WITHOUT ROWID;

CREATE TABLE warnings (
    number INTEGER PRIMARY KEY,
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    code TEXT NOT NULL,
    warning TEXT NOT NULL,
    UNIQUE (job_key, stream, code, warning)
);

CREATE TABLE schemas (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (job_key, stream, version)
) WITHOUT ROWID;

-- One row a chain: its last generation only. Rows of earlier ones are superseded, and so are their counters.
CREATE TABLE chains (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    chain INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    chain_value TEXT NOT NULL,
    chain_window INTEGER NOT NULL,
    sealed_pages INTEGER,
    -- Empty once the chain has ended: a stream may have a million ended ones.
    position TEXT,
    chain_end TEXT,
    pages INTEGER NOT NULL,
    rows_read INTEGER NOT NULL,
    rows_passed INTEGER NOT NULL,
    rows_quarantined INTEGER NOT NULL,
    rows_outside INTEGER NOT NULL,
    rows_repeated INTEGER NOT NULL,
    required_cells INTEGER NOT NULL,
    required_present INTEGER NOT NULL,
    fields_dropped INTEGER NOT NULL,
    PRIMARY KEY (job_key, stream, chain)
) WITHOUT ROWID;

CREATE INDEX chains_by_value ON chains (job_key, stream, chain_value, chain_window, chain);
CREATE INDEX chains_open ON chains (job_key, stream, chain) WHERE chain_end IS NULL;
CREATE INDEX chains_started_over ON chains (job_key, stream, chain) WHERE generation > 0;

CREATE TABLE chain_cursors (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    chain INTEGER NOT NULL,
    chain_cursor TEXT NOT NULL,
    PRIMARY KEY (job_key, stream, chain)
) WITHOUT ROWID;

CREATE TABLE parts (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    output_kind TEXT NOT NULL,
    name TEXT NOT NULL,
    part TEXT NOT NULL,
    PRIMARY KEY (job_key, place)
) WITHOUT ROWID;

CREATE UNIQUE INDEX parts_by_name ON parts (job_key, name);

CREATE TABLE value_lists (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    field TEXT NOT NULL,
    is_complete INTEGER NOT NULL,
    PRIMARY KEY (job_key, stream, field)
) WITHOUT ROWID;

CREATE TABLE parent_values (
    job_key INTEGER NOT NULL REFERENCES jobs (job_key) ON DELETE CASCADE,
    stream TEXT NOT NULL,
    field TEXT NOT NULL,
    place INTEGER NOT NULL,
    parent_value TEXT NOT NULL,
    PRIMARY KEY (job_key, stream, field, place)
) WITHOUT ROWID;

CREATE UNIQUE INDEX parent_values_once ON parent_values (job_key, stream, field, parent_value);

CREATE TABLE cursors (
    feed_key INTEGER NOT NULL REFERENCES feeds (feed_key),
    stream TEXT NOT NULL,
    chain_value TEXT NOT NULL,
    cursor_value TEXT,
    boundary TEXT NOT NULL,
    updated_by TEXT,
    PRIMARY KEY (feed_key, stream, chain_value)
) WITHOUT ROWID;

CREATE TABLE drift (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    feed_key INTEGER NOT NULL REFERENCES feeds (feed_key),
    job_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (feed_key, job_id, stream)
);

-- Outlives the jobs: quarantined rows have a retention of their own.
CREATE TABLE quarantine (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    feed TEXT NOT NULL,
    job_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    part_name TEXT NOT NULL,
    mark TEXT NOT NULL,
    recorded_us INTEGER NOT NULL,
    file TEXT NOT NULL,
    UNIQUE (job_id, part_name)
);

CREATE INDEX quarantine_of_tenant ON quarantine (tenant, feed, number);
CREATE INDEX quarantine_by_age ON quarantine (recorded_us);

CREATE TABLE replays (
    replay_job_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    part_name TEXT NOT NULL,
    row_from INTEGER NOT NULL,
    row_to INTEGER NOT NULL,
    is_done INTEGER NOT NULL,
    PRIMARY KEY (replay_job_id, job_id, part_name, row_from)
) WITHOUT ROWID;

CREATE INDEX replays_of_part ON replays (job_id, part_name, row_from);

CREATE TABLE holds (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    feed TEXT NOT NULL,
    job_id TEXT NOT NULL,
    load_id TEXT NOT NULL,
    is_released INTEGER NOT NULL,
    hold TEXT NOT NULL,
    UNIQUE (job_id, load_id)
);

CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    entry TEXT NOT NULL
);

CREATE INDEX audit_of_tenant ON audit (tenant, number);
