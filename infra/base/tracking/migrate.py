"""Bring MLflow's two databases up to date, and its accounts in line with their Secrets; one replica at a time."""

import os

import mlflow.db
import sqlalchemy
from mlflow.server import auth

uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
lock = sqlalchemy.create_engine(uri, isolation_level="AUTOCOMMIT").connect()
lock.execute(sqlalchemy.text("select pg_advisory_lock(1)"))  # held until this process ends

mlflow.db.upgrade.callback(uri)
auth.bootstrap_admin_user()

accounts = {
    os.environ["MLFLOW_AUTH_ADMIN_USERNAME"]: os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"],
    os.environ["MLFLOW_TRACKING_USERNAME"]: os.environ["MLFLOW_TRACKING_PASSWORD"],
}
for name, password in accounts.items():
    if auth.store.has_user(name):
        auth.store.update_user(name, password=password)
    else:
        auth.store.create_user(name, password)
