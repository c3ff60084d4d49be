-- One row per distinct spec of a parameter and the time it held; adjacent intervals of an equal spec are one row.
CREATE VIEW param_history AS
WITH specs AS (
    SELECT
        l.key_id, l.slug, l.valid_from, l.valid_to,
        e.key AS param,
        CASE
            WHEN e.type IN ('object', 'array') THEN e.value
            WHEN e.type IN ('true', 'false') THEN e.type
            ELSE json_quote(e.value)
        END AS spec,
        CASE WHEN e.type = 'object' AND json_type(e.value, '$.type') = 'text' THEN json_extract(e.value, '$.type') END AS type
    FROM listings l
    JOIN model_versions v ON v.id = l.version_id
    JOIN json_each(v.params) e
    WHERE json_type(v.params) = 'object'
),
spans AS (
    SELECT
        specs.*,
        CASE WHEN LAG(valid_to) OVER w = valid_from AND LAG(spec) OVER w = spec THEN 0 ELSE 1 END AS opens
    FROM specs
    WINDOW w AS (PARTITION BY key_id, slug, param ORDER BY valid_from)
),
islands AS (
    SELECT spans.*, SUM(opens) OVER (PARTITION BY key_id, slug, param ORDER BY valid_from) AS island
    FROM spans
)
SELECT
    k.name AS key_name,
    i.slug,
    i.param,
    i.type,
    i.spec,
    MIN(i.valid_from) AS valid_from,
    CASE WHEN COUNT(i.valid_to) = COUNT(*) THEN MAX(i.valid_to) END AS valid_to
FROM islands i
JOIN api_keys k ON k.id = i.key_id
GROUP BY k.name, i.slug, i.param, i.island, i.type, i.spec
