-- One row per configured key: how it is and what its last answers said.
CREATE VIEW key_status AS
SELECT
    k.name AS key_name,
    k.account,
    k.state,
    k.state_since,
    latest.last_at AS last_poll_at,
    good.last_at AS last_success_at,
    s.tier,
    good.credits_balance,
    s.calls_per_minute,
    s.concurrent_jobs,
    s.model_count,
    (SELECT COUNT(*) FROM changes c WHERE c.key_id = k.id AND c.state = 'held') AS held_changes,
    k.rotated_at
FROM api_keys k
LEFT JOIN polls latest ON latest.id = k.last_poll_id
LEFT JOIN polls good ON good.id = (
    SELECT p.id FROM polls p
    WHERE p.key_id = k.id AND p.outcome IN ('changed', 'unchanged')
    ORDER BY p.started_at DESC, p.id DESC LIMIT 1
)
LEFT JOIN snapshots s ON s.id = k.snapshot_id
WHERE k.retired_at IS NULL
