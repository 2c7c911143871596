BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'draftsync','m001_names_entries_and_tallies','2026-11-23 04:54:16.022388+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'draftsync','m002_sessions_and_events','2026-11-23 04:54:16.023424+00:00');
CREATE TABLE acknowledgements (
        session INTEGER NOT NULL, subject TEXT NOT NULL, offset INTEGER NOT NULL,
        checksum BLOB NOT NULL, PRIMARY KEY (session, subject)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (
        consumer TEXT NOT NULL, session INTEGER NOT NULL, offset INTEGER NOT NULL,
        checksum BLOB NOT NULL, PRIMARY KEY (consumer, session)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letters (
        consumer TEXT NOT NULL, session INTEGER NOT NULL, offset INTEGER NOT NULL,
        time INTEGER NOT NULL, reason TEXT NOT NULL, checksum BLOB NOT NULL,
        PRIMARY KEY (consumer, session, offset)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE entries (
        document INTEGER NOT NULL, position INTEGER NOT NULL, step INTEGER NOT NULL,
        author INTEGER NOT NULL, received_at INTEGER NOT NULL, clients BLOB NOT NULL,
        checksum BLOB NOT NULL, "update" BLOB NOT NULL,
        PRIMARY KEY (document, position)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "entries" VALUES(2,4,1,1,1780000000000,X'020700',X'31E39700F07E96C0',X'7570646174652033');
INSERT INTO "entries" VALUES(2,5,1,1,1780000000000,X'020700',X'5E3AA3EF5C06BE14',X'7570646174652034');
INSERT INTO "entries" VALUES(2,7,2,1,1780000000000,X'020700',X'315CA861039CFFF9',X'7570646174652035');
INSERT INTO "entries" VALUES(2,8,1,1,1780000000000,X'020700',X'B14E02B34E10F1E2',X'7570646174652036');
INSERT INTO "entries" VALUES(2,9,1,1,1780000000000,X'020700',X'F2D3AC3725CF8839',X'7570646174652037');
INSERT INTO "entries" VALUES(4,6,6,3,1780000000000,X'020700',X'CA4A60955D6A2C06',X'757064617465');
INSERT INTO "entries" VALUES(4,10,4,1,1780000000000,X'',X'F47D54D2297C8A6C',X'');
INSERT INTO "entries" VALUES(5,11,11,1,1780000000000,X'020700',X'0809161DF326A048',X'7570646174652030');
INSERT INTO "entries" VALUES(5,12,1,1,1780000000000,X'020700',X'4F5A0092364E7B31',X'7570646174652031');
CREATE TABLE ids (
        kind INTEGER NOT NULL, name TEXT NOT NULL, id INTEGER NOT NULL, checksum BLOB NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "ids" VALUES(1,'drafts/1',2,X'A27BF5D144DCC9C7');
INSERT INTO "ids" VALUES(1,'drafts/2',4,X'93119F868FB2A15D');
INSERT INTO "ids" VALUES(1,'ä',5,X'A6E02F9E9AD3F975');
INSERT INTO "ids" VALUES(2,'alice',1,X'DD2B9CDCFF10C126');
INSERT INTO "ids" VALUES(2,'bob',3,X'DC19B2BEF5A40C1C');
CREATE TABLE meta (
        key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, checksum BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('created_at','1795409656.0222435',X'B251E80A726D53E2');
INSERT INTO "meta" VALUES('epoch','903987cc67a444354f3f53aed4e41cd0',X'533A5F33064EB95A');
INSERT INTO "meta" VALUES('last_position','12',X'674A4C8A8799ABC3');
CREATE TABLE names (
        id INTEGER NOT NULL PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT;
INSERT INTO "names" VALUES(1,2,'alice',X'DD2B9CDCFF10C126');
INSERT INTO "names" VALUES(2,1,'drafts/1',X'A27BF5D144DCC9C7');
INSERT INTO "names" VALUES(3,2,'bob',X'DC19B2BEF5A40C1C');
INSERT INTO "names" VALUES(4,1,'drafts/2',X'93119F868FB2A15D');
INSERT INTO "names" VALUES(5,1,'ä',X'A6E02F9E9AD3F975');
CREATE TABLE session_events (
        session INTEGER NOT NULL, offset INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
        actor TEXT NOT NULL, time INTEGER NOT NULL, checksum BLOB NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (session, offset)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "session_events" VALUES(1,1,'1','review.note','alice',1780000000000,X'CD276C91EA69B6F5','{"text": "1"}');
INSERT INTO "session_events" VALUES(1,2,'2','review.note','alice',1780000000000,X'CAB746A8C30C0EB2','{"text": "2"}');
INSERT INTO "session_events" VALUES(1,3,'3','review.note','alice',1780000000000,X'9D94211E0674140A','{"text": "3"}');
CREATE TABLE session_logs (
        id TEXT NOT NULL PRIMARY KEY, session INTEGER NOT NULL, created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, top INTEGER NOT NULL, truncated INTEGER NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO "session_logs" VALUES('s-1',1,1780000000000,1780000000000,3,0,X'62238BD5677B61D9');
CREATE TABLE session_states (
        session INTEGER NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,
        state TEXT NOT NULL, checksum BLOB NOT NULL, body TEXT NOT NULL
    ) STRICT;
INSERT INTO "session_states" VALUES(1,'s-1','epoch','created',X'746ADA1A31DB2815','{"title": "Refunds"}');
CREATE TABLE snapshots (
        document INTEGER NOT NULL PRIMARY KEY, position INTEGER NOT NULL,
        taken_at INTEGER NOT NULL, checksum BLOB NOT NULL, state_vector BLOB NOT NULL,
        "update" BLOB NOT NULL
    ) STRICT;
INSERT INTO "snapshots" VALUES(2,3,1780000000000,X'03FD11D31A43D7A4',X'737461746520766563746F72',X'616C6C');
CREATE TABLE tallies (
        document INTEGER NOT NULL PRIMARY KEY, head INTEGER NOT NULL, edits INTEGER NOT NULL,
        size INTEGER NOT NULL, last_author INTEGER NOT NULL, created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, snapshot INTEGER NOT NULL, thinned INTEGER NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT;
INSERT INTO "tallies" VALUES(2,9,5,40,1,1780000000000,1780000000000,3,3,X'797DE82D0B34E739');
INSERT INTO "tallies" VALUES(4,10,2,6,1,1780000000000,1780000000000,0,0,X'7D57E60EBB0E847D');
INSERT INTO "tallies" VALUES(5,12,2,16,1,1780000000000,1780000000000,0,0,X'A6614841CF3E77AC');
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX names_by_name ON names (kind, name);
CREATE VIEW edits AS
    SELECT
        entries.position, documents.name AS document, authors.name AS author,
        strftime('%Y-%m-%d %H:%M:%f', entries.received_at / 1000.0, 'unixepoch') AS received_at,
        length(entries."update") AS size, entries."update",
        entries.position - entries.step AS previous
    FROM entries
    JOIN names AS documents ON documents.id = entries.document
    JOIN names AS authors ON authors.id = entries.author;
CREATE VIEW documents AS
    SELECT
        names.name AS document,
        coalesce(last.position, tallies.head) AS head,
        tallies.edits + (
            SELECT count(*) FROM entries AS new
            WHERE new.document = tallies.document AND new.position > tallies.head) AS edits,
        tallies.size + (
            SELECT coalesce(sum(length(new."update")), 0) FROM entries AS new
            WHERE new.document = tallies.document AND new.position > tallies.head) AS size,
        authors.name AS last_author,
        strftime('%Y-%m-%d %H:%M:%f', tallies.created_at / 1000.0, 'unixepoch') AS created_at,
        strftime('%Y-%m-%d %H:%M:%f', coalesce(last.received_at, tallies.updated_at) / 1000.0, 'unixepoch') AS updated_at,
        tallies.snapshot, tallies.thinned
    FROM tallies
    JOIN names ON names.id = tallies.document
    LEFT JOIN entries AS last ON last.document = tallies.document AND last.position = (
        SELECT max(position) FROM entries WHERE entries.document = tallies.document)
    LEFT JOIN names AS authors ON authors.id = coalesce(last.author, tallies.last_author);
CREATE INDEX session_states_by_state ON session_states (state);
CREATE UNIQUE INDEX session_events_by_id ON session_events (session, id);
CREATE VIEW sessions AS
    SELECT
        states.session AS number, states.id, states.state,
        strftime('%Y-%m-%d %H:%M:%f', logs.created_at / 1000.0, 'unixepoch') AS created_at,
        strftime('%Y-%m-%d %H:%M:%f', logs.updated_at / 1000.0, 'unixepoch') AS updated_at,
        logs.top, logs.truncated, states.epoch, states.body
    FROM session_states AS states JOIN session_logs AS logs ON logs.id = states.id;
CREATE VIEW events AS
    SELECT
        states.id AS session, offset, events.id, kind, actor,
        strftime('%Y-%m-%d %H:%M:%f', time / 1000.0, 'unixepoch') AS time, data
    FROM session_events AS events
    JOIN session_states AS states ON states.session = events.session;
COMMIT;
