"""The tables of the gateway: keys, logins, cached responses, feedback, and open circuits."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from core.storage.schema import metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the key; the key itself is nowhere
    Column("hint", Text, nullable=False),  # its beginning and end, to tell keys apart
    Column("scopes", Text, nullable=False),  # JSON list
    Column("models", Text, nullable=False, server_default="[]"),  # JSON list of patterns; empty = all
    Column("tags", Text, nullable=False, server_default="[]"),  # JSON list, put on every call
    Column("rpm", Integer),  # requests a minute; NULL = no limit
    Column("user_rpm", Integer),  # the same for each of its users
    Column("log_content", Text),  # full, metadata or none; NULL = as the server does
    Column("shares_cache", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    CheckConstraint("rpm > 0 AND user_rpm > 0", name="api_key_rates"),
    CheckConstraint("log_content IN ('full', 'metadata', 'none')", name="api_key_log_content"),
)

# Responses cached for a while; the same request of the same scope gets the same one.
cached_responses = Table(
    "cached_responses",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the scope and the whole effective request
    Column("response", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("ix_cached_responses_expires", cached_responses.c.expires_at)

# Models that failed so often that their circuit is open until then; every process looks here.
breakers = Table(
    "breakers",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("open_until", BigInteger, nullable=False),
    Column("n_openings", Integer, nullable=False),  # in a row; each waits longer
    Column("reason", Text, nullable=False),
)

# The requests of the last minute that count against a limit, where several processes share it.
rate_hits = Table(
    "rate_hits",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False),  # whose limit
    Column("at", BigInteger, nullable=False),
)
Index("ix_rate_hits_name", rate_hits.c.name, rate_hits.c.at)

# Who is logged in to the pages. The id is a digest of what the browser holds together with the password.
logins = Table(
    "logins",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

# Requests with an Idempotency-Key: claimed while they are answered, then kept with their answer for a while.
keyed_requests = Table(
    "keyed_requests",
    metadata,
    Column("scope", Text, primary_key=True),  # whose key: an API key's id, or none
    Column("key", Text, primary_key=True),
    Column("digest", String(64), nullable=False),  # of the request: another one with the same key is refused
    Column("owner", Text, nullable=False),  # the process that answers it
    Column("created_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger),  # NULL = not yet
    Column("answer", LargeBinary),  # status, headers and body; NULL = not kept
)
Index("ix_keyed_requests_created", keyed_requests.c.created_at)

# What people thought of an answer: one a person and answer, the last one counts.
feedback = Table(
    "feedback",
    metadata,
    Column("generation_id", String(40), ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("key_id", Text, primary_key=True),  # of which key it came; empty = none
    Column("user_id", Text, primary_key=True),  # whose opinion it is; empty = not said
    Column("thumb", Text),
    Column("rating", Float),
    Column("text", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("thumb IN ('up', 'down')", name="feedback_thumb"),
    CheckConstraint("rating BETWEEN 1 AND 5", name="feedback_rating"),
)
