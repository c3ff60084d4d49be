-- States with an opening and a closing: a key refused, the vendor out of reach.
CREATE VIEW condition_log AS
SELECT
    c.id AS condition_id,
    c.kind,
    c.severity,
    k.name AS key_name,
    CASE WHEN substr(c.subject, 1, 8) = 'account:' THEN substr(c.subject, 9) ELSE k.account END AS account,
    CASE WHEN substr(c.subject, 1, 12) = 'destination:' THEN substr(c.subject, 13) END AS destination,
    c.opened_at,
    c.closed_at,
    c.detail AS detail
FROM conditions c
LEFT JOIN api_keys k ON k.id = c.key_id
