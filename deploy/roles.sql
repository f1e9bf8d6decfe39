-- The least roles on PostgreSQL. A superuser makes them once in the empty database, before `digital-cities upgrade`:
--
--   OWNER_PASSWORD=... SERVER_PASSWORD=... psql --file deploy/roles.sql NAME
--
-- The owner migrates, and runs `ledger trim` and `ledger erase`, which vacuum. The server only reads and writes rows.

\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv server_password SERVER_PASSWORD

create role digital_cities_owner login password :'owner_password';
create role digital_cities_server login password :'server_password';
revoke create on schema public from public;
grant usage, create on schema public to digital_cities_owner;
grant usage on schema public to digital_cities_server;
alter default privileges for role digital_cities_owner in schema public
    grant select, insert, update, delete on tables to digital_cities_server;
-- The triggers that note changes number them.
alter default privileges for role digital_cities_owner in schema public grant usage on sequences to digital_cities_server;
