-- The wallet as each key's polls saw it, one row per balance and run of polls.
CREATE VIEW balance_history AS
SELECT
    k.account,
    k.name AS key_name,
    p.started_at AS at,
    p.credits_balance
FROM polls p
JOIN api_keys k ON k.id = p.key_id
WHERE p.credits_balance IS NOT NULL
