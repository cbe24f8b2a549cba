-- The journal, version 3. Rows are added, never changed or deleted; the newest row of a thing is the one that holds.
-- Only statements that SQLite and PostgreSQL both take. Times are UTC, ISO 8601. JSON is canonical (postil.canonical).
-- Every table but `meta` begins with a number, 1 for its first row and one more for each, and ends with a seal of the
-- row and of the seal before it (postil.store.sealing), so that `verify` finds whatever was changed or removed.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,               -- schema: the version of this file
  value TEXT NOT NULL
);

-- What is annotated.
CREATE TABLE record (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL,               -- of the fields
  fields TEXT NOT NULL,               -- JSON
  seal TEXT NOT NULL
);

-- Answers held right for measuring, each with its source.
CREATE TABLE gold (
  seq INTEGER PRIMARY KEY,
  record TEXT NOT NULL,
  answer TEXT NOT NULL,               -- JSON
  source TEXT NOT NULL,
  at TEXT NOT NULL,
  seal TEXT NOT NULL
);
CREATE INDEX gold_record ON gold (record);

-- The gold ledger: what each gold record may be used for.
CREATE TABLE gold_role (
  seq INTEGER PRIMARY KEY,
  record TEXT NOT NULL,
  role TEXT NOT NULL,                 -- demonstration, search, calibration, certificate
  at TEXT NOT NULL,
  seal TEXT NOT NULL,
  UNIQUE (record, role)
);

-- Who answers: the id is the digest of the spec, which holds all that can change an answer.
CREATE TABLE annotator (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,                 -- JSON
  at TEXT NOT NULL,
  seal TEXT NOT NULL
);

-- Written before a request leaves: at any moment the open intents are all that can have been paid for unseen.
CREATE TABLE intent (
  seq INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,               -- event that began the run
  annotator TEXT NOT NULL,
  record TEXT,                        -- NULL for a question about no record
  purpose TEXT NOT NULL,              -- label, prior, preview
  request TEXT NOT NULL,              -- digest of everything the engine is told
  attempt INTEGER NOT NULL,
  most_tokens INTEGER,                -- the most it can come to; more than that where nobody counted tokens
  most_usd REAL,
  at TEXT NOT NULL,
  seal TEXT NOT NULL
);
-- A part of the digest is enough to find it by, and keeps the index a quarter of the size.
CREATE INDEX intent_request ON intent (substr(request, 8, 12));

-- What came back for an intent: a completion, or the error that ended the attempt.
CREATE TABLE reply (
  seq INTEGER PRIMARY KEY,
  intent INTEGER NOT NULL UNIQUE,     -- its seq
  completion TEXT,                    -- JSON, NULL after an error
  error TEXT,                         -- JSON, NULL after a completion
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  usd REAL,                           -- NULL where it is not known: no price, or lost on the way back
  at TEXT NOT NULL,
  seal TEXT NOT NULL
);

-- How a record ended for an annotator: exactly once. Revisions are failures asked about anew, and corrections from
-- outside; the newest one holds.
CREATE TABLE outcome (
  seq INTEGER PRIMARY KEY,
  record TEXT NOT NULL,
  annotator TEXT NOT NULL,
  revision INTEGER NOT NULL,
  intent INTEGER,                     -- its seq: whose reply decided it; NULL where nothing was sent
  type TEXT NOT NULL,                 -- annotation, abstention, failure
  answer TEXT,                        -- JSON, annotations only
  confidence REAL,
  confidence_kind TEXT,
  probabilities TEXT,                 -- JSON, in the order of the labels
  rationale TEXT,
  details TEXT,                       -- JSON: confidences of parts, evidence, rejected; NULL where there is none
  failure_class TEXT,                 -- failures only
  message TEXT,                       -- why it abstained or failed
  at TEXT NOT NULL,
  seal TEXT NOT NULL,
  UNIQUE (annotator, record, revision)
);

-- Everything else worth knowing later: runs begun and ended, priors, imports, students trained, totals counted.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL,                 -- JSON
  at TEXT NOT NULL,
  seal TEXT NOT NULL
);
CREATE INDEX event_kind ON event (kind, subject);
