#!/bin/sh
# Runs once, on an empty volume: MLflow's role and its databases (one for runs; one for users and permissions).
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\getenv password MLFLOW_PASSWORD
create role mlflow login password :'password';
create database mlflow owner mlflow;
create database mlflow_auth owner mlflow;
SQL
