-- What was observed, one row per content of a model and the time it was listed. valid_to is null while it still is.
CREATE VIEW model_history AS
SELECT
    k.name AS key_name,
    l.slug,
    v.name,
    v.category,
    v.creator,
    v.description,
    v.credits_min,
    v.credits_max,
    v.params::jsonb AS params,
    v.example_request::jsonb AS example_request,
    l.valid_from,
    l.valid_to
FROM listings l
JOIN api_keys k ON k.id = l.key_id
JOIN model_versions v ON v.id = l.version_id
