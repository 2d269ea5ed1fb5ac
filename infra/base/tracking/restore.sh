#!/bin/sh
# Put both databases back to the dumps of STAMP in the working directory, or to the newest. The server must be stopped.
set -eu
if [ -z "${STAMP:-}" ]; then
  # Names sort by time; mlflow_auth is dumped last, so it has its partner.
  for dump in mlflow_auth-*.dump; do STAMP=${dump#mlflow_auth-}; done
  STAMP=${STAMP%.dump}
fi
for database in mlflow mlflow_auth; do
  # In one transaction: a restore that fails leaves the database as it was.
  pg_restore --clean --if-exists --no-owner --single-transaction --dbname="$database" "$database-$STAMP.dump"
  echo "restored $database to $STAMP"
done
