#!/bin/sh
# Put both databases back to the dumps of STAMP, or to the newest. The server must be stopped (see the README).
set -eu
cd "${BACKUP_DIR:-/backup}"
if [ -z "${STAMP:-}" ]; then
  # The newest of the pairs: mlflow_auth is dumped last.
  STAMP=$(ls mlflow_auth-*.dump | sort | tail -n 1 | sed -e 's/^mlflow_auth-//' -e 's/\.dump$//')
fi
for database in mlflow mlflow_auth; do
  # In one transaction: a restore that fails leaves the database as it was.
  pg_restore --clean --if-exists --no-owner --single-transaction --dbname="$database" "$database-$STAMP.dump"
  echo "restored $database to $STAMP"
done
