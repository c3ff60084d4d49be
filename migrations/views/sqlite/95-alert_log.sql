-- Every message that was composed, and what became of it.
CREATE VIEW alert_log AS
SELECT
    d.id AS delivery_id,
    d.created_at,
    d.sent_at,
    t.spec AS channel,
    d.kind,
    d.severity,
    d.state,
    d.attempts,
    d.change_count,
    d.slack_ts,
    d.last_error
FROM deliveries d
JOIN destinations t ON t.id = d.destination_id
