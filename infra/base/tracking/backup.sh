#!/bin/sh
# Dump both databases into the working directory and remove what is older than KEEP_DAYS. A failed dump removes nothing.
set -eu
stamp=$(date -u +%Y%m%dT%H%M%SZ)
for database in mlflow mlflow_auth; do
  pg_dump --format=custom --file="$database-$stamp.part" "$database"
  pg_restore --list "$database-$stamp.part" >/dev/null
  mv "$database-$stamp.part" "$database-$stamp.dump"
done
find . -name '*.dump' -mtime "+$KEEP_DAYS" -delete
find . -name '*.part' -mtime +1 -delete
ls -l ./*"$stamp".dump
