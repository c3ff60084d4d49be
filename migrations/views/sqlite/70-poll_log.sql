-- One row per run of consecutive like polls; what differs within a run (duration, request id) is of its last poll.
CREATE VIEW poll_log AS
SELECT
    p.id AS poll_id,
    k.name AS key_name,
    p.started_at,
    p.last_at,
    p.count AS polls,
    p.duration_ms,
    p.outcome,
    p.http_status,
    p.error_code,
    p.request_id,
    p.credits_balance,
    p.rate_limit_remaining
FROM polls p
JOIN api_keys k ON k.id = p.key_id
