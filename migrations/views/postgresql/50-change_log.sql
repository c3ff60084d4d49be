-- Every change that was found. announced_at: when the first message with it was confirmed sent.
CREATE VIEW change_log AS
SELECT
    c.id AS change_id,
    c.detected_at,
    k.name AS key_name,
    c.slug,
    c.kind,
    c.severity,
    c.path,
    c.old::jsonb AS old_value,
    c.new::jsonb AS new_value,
    c.decided,
    c.witness::jsonb AS witness,
    c.affects::jsonb AS affects,
    c.summary,
    c.detail::jsonb AS detail,
    c.state,
    (
        SELECT MIN(d.sent_at) FROM announcements a
        JOIN deliveries d ON d.id = a.delivery_id
        WHERE a.change_id = c.id AND d.state = 'sent'
    ) AS announced_at
FROM changes c
JOIN api_keys k ON k.id = c.key_id
