-- 1,000 issuers and 200,000 events over the last 30 days. Every 400th event is a failure or a refusal.
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 199999)
INSERT INTO crl_generation_events
SELECT printf('018bcfe5-6800-7000-8000-%012x', n), printf('issuer-%04d', n % 1000), 'full',
       iif(n % 3 = 0, 'alarm', 'cron'),
       CASE WHEN n % 800 = 0 THEN 'rejected' WHEN n % 400 = 0 THEN 'failed' WHEN n % 2 = 0 THEN 'unchanged' ELSE 'published' END,
       n % 400 <> 0, n / 1000, 100 + n / 1000, 5000, printf('%064x', n),
       strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%f seconds', (200000 - n) * 12.96)),
       strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%f seconds', (200000 - n) * 12.96), '+1 day'),
       strftime('%Y-%m-%dT%H:%M:%fZ', 'now', printf('-%f seconds', (200000 - n) * 12.96)),
       n % 97,
       iif(n % 400 = 0, 'origin_status', NULL), iif(n % 400 = 0, 'the origin answered 503', NULL)
FROM numbers;

WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 999)
INSERT INTO crl_status
  (issuer_id, crl_name, revision, crl_number, revoked_count, size_bytes, sha256, this_update, next_update, refresh_after, generated_at,
   duration_ms, last_outcome, consecutive_failures, last_error_code, last_error, last_error_at,
   pinned_certificate_sha256, waiting_certificate_sha256, publish_owed, events_owed)
SELECT printf('issuer-%04d', n), 'full', 200, '199', 299, 5000, printf('%064x', n),
       strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 day'),
       strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+16 hours'), strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour'),
       12, iif(n % 200 = 0, 'failed', 'published'), n % 200 = 0,
       iif(n % 200 = 0, 'origin_status', NULL), iif(n % 200 = 0, 'the origin answered 503', NULL), NULL,
       printf('%064x', n), NULL, 0, 0
FROM numbers;
