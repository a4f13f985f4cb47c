"""The tables of the history: names and columns of the platform's specification, and what correctness adds to them.

Three rules hold for all tables. A row is an upsert whose key holds everything that makes two events different, so that
an event may be written any number of times. Nothing is a counter: a counter can neither expire nor be retried safely.
A row lives for ninety days from its last writing, whatever the time of its event: an imported log of last year lives
ninety days from its import, and a repetition from the message log adds at most the week that the log keeps.
"""

from typing import Final

LIFE_S: Final = 7_776_000  # ninety days

# Rows of a time series expire together, window by window.
_SERIES: Final = (
    "compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS',"
    f" 'compaction_window_size': '3'}} AND default_time_to_live = {LIFE_S}"
)
# A partition that each feed request reads should lie in few files.
_READ_OFTEN: Final = "compaction = {'class': 'LeveledCompactionStrategy'}"

TABLES: Final = {
    "watch_history": f"""
CREATE TABLE IF NOT EXISTS watch_history (
    user_id text,
    watched_at timestamp,
    video_id text,
    watch_duration_sec int,
    completed boolean,
    PRIMARY KEY (user_id, watched_at, video_id)
) WITH CLUSTERING ORDER BY (watched_at DESC, video_id ASC) AND {_SERIES}
AND comment = 'Watches of a viewer, newest first. Two reports of one moment are one watch, the one written last; both
 are in user_interactions.'""",
    "user_interactions": f"""
CREATE TABLE IF NOT EXISTS user_interactions (
    user_id text,
    month text,
    interaction_time timestamp,
    interaction_type text,
    video_id text,
    event_id text,
    metadata text,
    PRIMARY KEY ((user_id, month), interaction_time, interaction_type, video_id, event_id)
) WITH CLUSTERING ORDER BY (interaction_time DESC, interaction_type ASC, video_id ASC, event_id ASC) AND {_SERIES}
AND comment = 'Every event of a viewer; metadata is JSON of its other fields. Added to the key: month (2026-11, UTC), so
 that no partition grows without end; video_id (empty where there is none) and event_id, so that two events of one kind
 in one millisecond are two rows.'""",
    "interaction_months": f"""
CREATE TABLE IF NOT EXISTS interaction_months (
    user_id text,
    month text,
    PRIMARY KEY (user_id, month)
) WITH {_READ_OFTEN} AND default_time_to_live = {LIFE_S}
AND comment = 'Added: the months that user_interactions has of a viewer, since partitions cannot be found by a part of
 their key.'""",
    "activity_logs": f"""
CREATE TABLE IF NOT EXISTS activity_logs (
    user_id text,
    log_date date,
    hour int,
    activity_type text,
    event_id text,
    PRIMARY KEY ((user_id, log_date), hour, activity_type, event_id)
) WITH {_SERIES}
AND comment = 'One row for each event instead of a counter, which could neither expire nor be retried safely; summed on
 read. Days and hours are UTC.'""",
    "activity_hours": f"""
CREATE TABLE IF NOT EXISTS activity_hours (
    user_id text,
    log_date date,
    hour int,
    activity_type text,
    count int,
    hours_done int STATIC,
    PRIMARY KEY ((user_id, log_date), hour, activity_type)
) WITH {_READ_OFTEN} AND default_time_to_live = {LIFE_S}
AND comment = 'Added: sums of activity_logs. Hours below hours_done are read here and all others there, so nothing
 counts twice; hours_done is written after the sums.'""",
    "seen": f"""
CREATE TABLE IF NOT EXISTS seen (
    user_id text,
    seen_at timestamp,
    video_id text,
    PRIMARY KEY (user_id, seen_at, video_id)
) WITH {_READ_OFTEN} AND default_time_to_live = {LIFE_S}
AND comment = 'Added: impressions and watches of a viewer, oldest first, in one partition of keys alone, since each feed
 request reads all of it. A row for each sight, so that a video is forgotten ninety days after its last sight.'""",
    "reactions": f"""
CREATE TABLE IF NOT EXISTS reactions (
    user_id text,
    reaction text,
    video_id text,
    word bigint,
    PRIMARY KEY (user_id, reaction, video_id)
) WITH {_READ_OFTEN}
AND comment = 'Added: the last word on each like and save. Written USING TIMESTAMP with the event time in microseconds,
 so the latest event stands in any order of arrival; word is twice the offset on the log, plus one where it stands, and
 of two words of one moment Cassandra keeps the greater: the later on the log. No time to live: a like stands until
 it is taken back, and an expiring cell would be compared by its expiry first.'""",
}

INSERTS: Final = {
    "watch_history": (
        "INSERT INTO watch_history (user_id, watched_at, video_id, watch_duration_sec, completed)"
        " VALUES (?, ?, ?, ?, ?)"
    ),
    "user_interactions": (
        "INSERT INTO user_interactions"
        " (user_id, month, interaction_time, interaction_type, video_id, event_id, metadata)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
    ),
    "interaction_months": "INSERT INTO interaction_months (user_id, month) VALUES (?, ?)",
    "activity_logs": (
        "INSERT INTO activity_logs (user_id, log_date, hour, activity_type, event_id) VALUES (?, ?, ?, ?, ?)"
    ),
    "activity_hours": (
        "INSERT INTO activity_hours (user_id, log_date, hour, activity_type, count) VALUES (?, ?, ?, ?, ?)"
    ),
    "hours_done": "INSERT INTO activity_hours (user_id, log_date, hours_done) VALUES (?, ?, ?)",
    "seen": "INSERT INTO seen (user_id, seen_at, video_id) VALUES (?, ?, ?)",
    "reactions": "INSERT INTO reactions (user_id, reaction, video_id, word) VALUES (?, ?, ?, ?) USING TIMESTAMP ?",
}

SELECTS: Final = {
    "seen": "SELECT video_id FROM seen WHERE user_id = ?",
    "seen_between": "SELECT video_id FROM seen WHERE user_id = ? AND seen_at >= ? AND seen_at < ?",
    "reactions": "SELECT reaction, video_id, word FROM reactions WHERE user_id = ?",
    "months": "SELECT month FROM interaction_months WHERE user_id = ?",
    "interactions": (
        "SELECT toUnixTimestamp(interaction_time), interaction_type, video_id, event_id FROM user_interactions"
        " WHERE user_id = ? AND month = ?"
    ),
    "hours": "SELECT hours_done, hour, activity_type, count FROM activity_hours WHERE user_id = ? AND log_date = ?",
    "events": (
        "SELECT hour, activity_type, count(*) FROM activity_logs"
        " WHERE user_id = ? AND log_date = ? AND hour >= ? AND hour < ? GROUP BY hour, activity_type"
    ),
    "days": "SELECT DISTINCT user_id, log_date FROM activity_logs",
}


def keyspace(name: str, replication: int) -> str:
    """The statement that makes the keyspace where it is missing."""
    strategy = f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
    return f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {strategy}"
