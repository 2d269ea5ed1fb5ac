#!/bin/bash
# Put both databases back to the dumps of STAMP in the working directory, or to the newest. The server must be stopped.
set -euo pipefail
if [ -z "${STAMP:-}" ]; then
  # Names sort by time; mlflow_auth is dumped last, so it has its partner.
  for dump in mlflow_auth-*.dump; do STAMP=${dump#mlflow_auth-}; done
  STAMP=${STAMP%.dump}
fi

# Everything goes first: what an upgrade has added since may refer to tables of the dump, which then could not be dropped.
# The schema is as initdb makes it. Without the commit, after whatever fails, the database is as it was.
statements() {
  echo 'begin;'
  echo 'drop schema if exists public cascade;'
  echo 'create schema public authorization pg_database_owner;'
  echo 'grant usage on schema public to public;'
  pg_restore --no-owner --file=- "$1" && echo 'commit;'
}

for database in mlflow mlflow_auth; do
  statements "$database-$STAMP.dump" |
    PGOPTIONS=--client-min-messages=warning \
      psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null --dbname="$database"
  echo "restored $database to $STAMP"
done
