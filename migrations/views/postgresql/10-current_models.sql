-- The confirmed catalogue of configured keys. A model whose removal is held stays, with missing_since set.
-- since: when the model was first listed without a gap until now.
CREATE VIEW current_models AS
WITH shown AS (
    SELECT key_id, slug, version_id, CAST(NULL AS TIMESTAMPTZ) AS missing_since
    FROM listings
    WHERE valid_to IS NULL
    UNION ALL
    SELECT l.key_id, l.slug, l.version_id, l.valid_to
    FROM changes c
    JOIN listings l ON l.id = (
        SELECT last.id FROM listings last
        WHERE last.key_id = c.key_id AND last.slug = c.slug
        ORDER BY last.valid_from DESC LIMIT 1
    )
    WHERE c.state = 'held' AND c.kind = 'model.removed'
)
SELECT
    k.name AS key_name,
    s.slug,
    v.name,
    v.category,
    v.creator,
    v.description,
    v.credits_min,
    v.credits_max,
    v.params::jsonb AS params,
    v.example_request::jsonb AS example_request,
    (
        SELECT MAX(f.valid_from) FROM listings f
        WHERE f.key_id = s.key_id AND f.slug = s.slug AND NOT EXISTS (
            SELECT 1 FROM listings p
            WHERE p.key_id = f.key_id AND p.slug = f.slug AND p.valid_to = f.valid_from
        )
    ) AS since,
    s.missing_since
FROM shown s
JOIN api_keys k ON k.id = s.key_id AND k.retired_at IS NULL
JOIN model_versions v ON v.id = s.version_id
