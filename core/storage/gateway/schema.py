"""The tables of the gateway: keys, logins, deployments, cached responses, feedback, and open circuits."""

from sqlalchemy import CheckConstraint, Column, Float, Index, LargeBinary, String

from core.storage.columns import ID, flag, key, number, reference, small, table, text

api_keys = table(
    "api_keys",
    key("id", kind=ID),
    text("name"),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the key; the key itself is nowhere
    text("hint"),  # its beginning and end, to tell keys apart
    text("scopes"),  # JSON list
    text("models", default="[]"),  # JSON list of patterns; empty = all
    text("tags", default="[]"),  # JSON list, put on every call
    small("rpm", optional=True),  # requests a minute; NULL = no limit
    small("user_rpm", optional=True),  # the same for each of its users
    number("tpm", "user_tpm", optional=True),  # tokens a minute
    small("max_parallel", "user_max_parallel", optional=True),  # calls at the same time
    text("log_content", optional=True),  # full, metadata or none; NULL = as the server does
    flag("shares_cache"),
    text("owner", "team", default=""),  # a person's id; a team's name
    number("created_at"),
    number("expires_at", "revoked_at", "last_used_at", optional=True),
    CheckConstraint("rpm > 0 AND user_rpm > 0", name="api_key_rates"),
    CheckConstraint("log_content IN ('full', 'metadata', 'none')", name="api_key_log_content"),
)

# Responses cached for a while; the same request of the same scope gets the same one.
cached_responses = table(
    "cached_responses",
    key("digest", kind=String(64)),  # SHA-256 of the scope and the whole effective request
    Column("response", LargeBinary, nullable=False),
    number("created_at", "expires_at"),
)
Index("ix_cached_responses_expires", cached_responses.c.expires_at)

# Models that failed so often that their circuit is open until then; every process looks here.
breakers = table(
    "breakers",
    key("provider", "model"),
    number("open_until"),
    small("n_openings"),  # in a row; each waits longer
    text("reason"),
    text("code", default=""),  # of the error that opened it
    number("asks_at", default="0"),  # when it may be asked where nobody else can answer
)

# Where vendors' models are asked, beside what the environment names.
deployments = table(
    "deployments",
    key("name"),
    text("vendor", "kind", "url"),
    text("api_version", default=""),
    text("models", default="{}"),  # JSON, model -> its name there; empty = all by their own names
    small("weight", "priority", default="1"),
    small("rest_s", default="60"),
    flag("is_private"),
    small("is_enabled", default="1"),
    text("secret"),  # encrypted with a key that is not in the database
    text("hint", default=""),  # the end of it
    number("revision", default="1"),
    number("created_at", "rotated_at"),
    CheckConstraint("weight >= 0 AND priority >= 1 AND rest_s >= 0", name="deployment_numbers"),
)

# What counts against a limit where several processes share it: requests and tokens of the last minute, running calls.
rate_hits = table(
    "rate_hits",
    key("id", kind=ID),
    text("name"),  # whose limit, and of what
    number("at"),  # of a running call the moment at which it has ended at the latest
    number("amount", default="1"),
)
Index("ix_rate_hits_name", rate_hits.c.name, rate_hits.c.at)

# Who is logged in to the pages. The id is a digest of what the browser holds together with the password.
logins = table(
    "logins",
    key("id", kind=String(64)),
    number("created_at", "expires_at"),
)

# Requests with an Idempotency-Key: claimed while they are answered, then kept with their answer for a while.
keyed_requests = table(
    "keyed_requests",
    key("scope"),  # whose key: an API key's id, or none
    key("key"),
    Column("digest", String(64), nullable=False),  # of the request: another one with the same key is refused
    text("owner"),  # the process that answers it
    number("created_at"),
    number("answered_at", optional=True),  # NULL = not yet
    Column("answer", LargeBinary),  # status, headers and body; NULL = not kept
)
Index("ix_keyed_requests_created", keyed_requests.c.created_at)

# What people thought of an answer: one a person and answer, the last one counts.
feedback = table(
    "feedback",
    reference("generation_id", "generations.id", is_key=True),
    key("key_id"),  # of which key it came; empty = none
    key("user_id"),  # whose opinion it is; empty = not said
    text("thumb", optional=True),
    Column("rating", Float),
    text("text", optional=True),
    number("created_at", "updated_at"),
    CheckConstraint("thumb IN ('up', 'down')", name="feedback_thumb"),
    CheckConstraint("rating BETWEEN 1 AND 5", name="feedback_rating"),
)
Index("ix_feedback_created", feedback.c.created_at)

# Answers of the Responses API that a later request may refer to, each by the key that asked.
stored_responses = table(
    "stored_responses",
    key("id"),
    text("key_id"),
    text("provider"),  # its deployment, which may have kept it too
    text("previous_id"),  # the one that it goes on from; empty = none
    number("created_at"),
    Column("content", LargeBinary),  # input items and response, compressed JSON; NULL = no texts are kept
)
Index("ix_stored_responses_created", stored_responses.c.created_at)

# The items of their outputs, which a request may name alone.
response_items = table(
    "response_items",
    key("id"),
    text("response_id"),
)
Index("ix_response_items_response", response_items.c.response_id)
