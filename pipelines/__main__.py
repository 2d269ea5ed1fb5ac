"""`python -m pipelines …`: compile the pipeline, run it here, submit it to a cluster, adopt its results."""

from pathlib import Path
from typing import Annotated

import typer
from kfp.compiler import Compiler

from longtail.execution import one_sentence
from pipelines.arguments import dvc_cache, fetch_section, kubernetes_settings, number_of_rounds, sections
from pipelines.lmle import lmle
from pipelines.local import Runner, run_local

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Params = Annotated[Path, typer.Option(help="YAML file of parameters")]
Remote = Annotated[str | None, typer.Option(help="url of the DVC remote; default: DVC's own default")]
Endpoint = Annotated[str | None, typer.Option(help="URL of the S3 store, if it is not AWS itself")]
Lock = Annotated[Path, typer.Option(help="DVC's lock file, which knows the data's md5")]


@app.command("compile")
def compile_pipeline(
    output: Annotated[Path, typer.Argument(help="file to write")] = Path("lmle.yaml"),
    params: Params = Path("params.yaml"),
    lock: Lock = Path("dvc.lock"),
    remote: Remote = None,
    endpoint: Endpoint = None,
) -> None:
    """Write the pipeline as YAML, for `kfp run create` or the dashboard, with the parameters as defaults."""
    arguments = {"fetch": fetch_section(lock, remote, endpoint), **sections(params)}
    pipeline = lmle(number_of_rounds(params), kubernetes_settings(params))
    Compiler().compile(pipeline, str(output), pipeline_parameters=arguments)
    typer.echo(f"wrote {output}")


@app.command("local")
def run_here(
    runner: Annotated[Runner, typer.Option(help="one container a step, or one process a step")] = "docker",
    params: Params = Path("params.yaml"),
    lock: Lock = Path("dvc.lock"),
    remote: Annotated[str | None, typer.Option(help="fetch the data from here; default: DVC's cache here")] = None,
    root: Annotated[Path, typer.Option(help="directory for what the steps write")] = Path("artifacts/local"),
) -> None:
    """Run the pipeline on this machine."""
    fetch = fetch_section(lock, remote or str(dvc_cache()))
    pipeline = lmle(number_of_rounds(params), settings=None)
    tasks = run_local(pipeline, {"fetch": fetch, **sections(params)}, runner, root)
    typer.echo(f"the report is {tasks / 'evaluate' / 'page'}")


if __name__ == "__main__":
    with one_sentence():
        app()
