-- One row per credit band and the time it held; adjacent intervals of an equal band are one row.
CREATE VIEW credit_history AS
WITH spans AS (
    SELECT
        l.key_id, l.slug, v.credits_min, v.credits_max, l.valid_from, l.valid_to,
        CASE
            WHEN LAG(l.valid_to) OVER w = l.valid_from
             AND LAG(v.credits_min) OVER w IS NOT DISTINCT FROM v.credits_min
             AND LAG(v.credits_max) OVER w IS NOT DISTINCT FROM v.credits_max
            THEN 0 ELSE 1
        END AS opens
    FROM listings l
    JOIN model_versions v ON v.id = l.version_id
    WINDOW w AS (PARTITION BY l.key_id, l.slug ORDER BY l.valid_from)
),
islands AS (
    SELECT spans.*, SUM(opens) OVER (PARTITION BY key_id, slug ORDER BY valid_from) AS island
    FROM spans
)
SELECT
    k.name AS key_name,
    i.slug,
    i.credits_min,
    i.credits_max,
    MIN(i.valid_from) AS valid_from,
    CASE WHEN COUNT(i.valid_to) = COUNT(*) THEN MAX(i.valid_to) END AS valid_to
FROM islands i
JOIN api_keys k ON k.id = i.key_id
WHERE i.credits_min IS NOT NULL OR i.credits_max IS NOT NULL
GROUP BY k.name, i.slug, i.island, i.credits_min, i.credits_max
