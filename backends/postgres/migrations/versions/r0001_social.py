"""Users, followers, likes and comments, and what their exact counts need."""

from alembic import context, op

revision = "0001"
down_revision = None

# Names and columns are those of the platform documents. Four things differ everywhere:
# - ids are VARCHAR(128), not 36, since an event's ids may have 128 characters; COLLATE "C" orders them by their bytes,
#   as every other store does, whatever the database's locale.
# - times are TIMESTAMPTZ: a bare TIMESTAMP would mean another moment in each session's time zone.
# - an index that a unique constraint or a primary key already gives is not made a second time.
# - `stands`, `created_at` and `log_offset` make rows that follow events: the row holds the last word, by time of the
#   event and then by its place on the log, so an event that comes twice or late changes nothing. A word taken back
#   stays as a row that does not stand, since an older word may still come. `stood` is what the row said before its
#   last change: a counter changes by stands - stood, in the statement that changes the row.
_TABLES = """
-- profile: the fields of a viewer's record that have no column of their own (region, language, device, age band,
-- sign-up time, chosen topics, traits, what an importer filled in). NULL: nobody put this user, the row only counts for
-- one that events name, since events may come before the user does.
-- username, email: unique, and NULL where unknown, since imported users have none and a made-up address is worse.
CREATE TABLE users (
    user_id VARCHAR(128) COLLATE "C" PRIMARY KEY,
    username VARCHAR(50) UNIQUE,
    email VARCHAR(255) UNIQUE,
    display_name VARCHAR(100),
    bio TEXT,
    avatar_url VARCHAR(500),
    verified BOOLEAN NOT NULL DEFAULT false,
    follower_count INTEGER NOT NULL DEFAULT 0,
    following_count INTEGER NOT NULL DEFAULT 0,
    video_count INTEGER NOT NULL DEFAULT 0,
    total_likes INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    profile JSONB
) WITH (fillfactor = 80);

-- The primary key of a partitioned table must hold what it is partitioned by; `id` stays as the documents name it.
CREATE TABLE followers (
    id BIGSERIAL,
    follower_user_id VARCHAR(128) COLLATE "C" NOT NULL,
    following_user_id VARCHAR(128) COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    stands BOOLEAN NOT NULL DEFAULT true,
    stood BOOLEAN NOT NULL DEFAULT false,
    log_offset BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (follower_user_id, following_user_id)
) PARTITION BY HASH (follower_user_id);
CREATE INDEX idx_following ON followers (following_user_id) WHERE stands;

-- Blocks and hidden authors, which the documents' tables leave out and the feed may not: by kind ('block', 'hide').
CREATE TABLE relations (
    user_id VARCHAR(128) COLLATE "C" NOT NULL,
    kind VARCHAR(10) COLLATE "C" NOT NULL,
    author_id VARCHAR(128) COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    stands BOOLEAN NOT NULL DEFAULT true,
    log_offset BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, kind, author_id)
);
CREATE INDEX idx_blocked_by ON relations (author_id) WHERE kind = 'block' AND stands;

CREATE TABLE likes (
    id BIGSERIAL PRIMARY KEY,
    user_id VARCHAR(128) COLLATE "C" NOT NULL,
    video_id VARCHAR(128) COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    stands BOOLEAN NOT NULL DEFAULT true,
    stood BOOLEAN NOT NULL DEFAULT false,
    log_offset BIGINT NOT NULL DEFAULT 0,
    UNIQUE (user_id, video_id)
);
CREATE INDEX idx_video_created ON likes (video_id, created_at) WHERE stands;

-- Whose a video is, which total_likes and video_count of its author need, and its own counts. The videos themselves are
-- kept elsewhere. author_id NULL: not published yet as far as these tables know. counted: whether its author's counts
-- held it before the last change.
CREATE TABLE videos (
    video_id VARCHAR(128) COLLATE "C" PRIMARY KEY,
    author_id VARCHAR(128) COLLATE "C",
    removed BOOLEAN NOT NULL DEFAULT false,
    counted BOOLEAN NOT NULL DEFAULT false,
    like_count INTEGER NOT NULL DEFAULT 0,
    comment_count INTEGER NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

CREATE TABLE comments (
    comment_id VARCHAR(128) COLLATE "C" PRIMARY KEY,
    video_id VARCHAR(128) COLLATE "C" NOT NULL,
    user_id VARCHAR(128) COLLATE "C" NOT NULL,
    parent_comment_id VARCHAR(128) COLLATE "C",
    content TEXT NOT NULL,
    like_count INTEGER NOT NULL DEFAULT 0,
    reply_count INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    deleted_at TIMESTAMPTZ
);
-- A page shows comments or the replies of one, so the documents' index by video leaves replies out; the second index
-- serves the documents' default order, `top`.
CREATE INDEX idx_comments_video_created ON comments (video_id, created_at, comment_id) WHERE parent_comment_id IS NULL;
CREATE INDEX idx_comments_video_top ON comments (video_id, like_count, created_at, comment_id)
    WHERE parent_comment_id IS NULL;
CREATE INDEX idx_user_created ON comments (user_id, created_at);
CREATE INDEX idx_parent ON comments (parent_comment_id, created_at, comment_id) WHERE parent_comment_id IS NOT NULL;

-- Who likes which comment: comments.like_count counts these.
CREATE TABLE comment_likes (
    comment_id VARCHAR(128) COLLATE "C" NOT NULL,
    user_id VARCHAR(128) COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    stands BOOLEAN NOT NULL DEFAULT true,
    stood BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (comment_id, user_id)
);
"""


def upgrade() -> None:
    """Make the tables, with as many partitions of followers as the settings say."""
    connection = op.get_bind()
    for statement in _without_comments(_TABLES).split(";"):
        if statement.strip():
            connection.exec_driver_sql(statement)
    count = context.config.attributes["follower_partitions"]
    for number in range(count):
        connection.exec_driver_sql(
            f"CREATE TABLE followers_{number} PARTITION OF followers"
            f" FOR VALUES WITH (MODULUS {count}, REMAINDER {number})"
        )


def _without_comments(script: str) -> str:
    return "\n".join(line for line in script.splitlines() if not line.startswith("--"))
