-- An empty database, whatever the last contender left.
DROP SCHEMA IF EXISTS bench, bench_staging, public CASCADE;
CREATE SCHEMA public;
