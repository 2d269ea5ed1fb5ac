"""`python -m pipelines …`: compile the pipeline, run it here, submit it to a cluster, adopt its results."""

from pathlib import Path
from typing import Annotated, Any

import typer
from kfp.dsl.base_component import BaseComponent

from longtail.errors import Faults
from longtail.execution import one_sentence
from pipelines import adopt as adoption
from pipelines import submit as submission
from pipelines.arguments import (
    STEPS,
    default_endpoint,
    dvc_cache,
    fetch_section,
    has_edges,
    kubernetes_settings,
    sections,
    trainings_of,
)
from pipelines.defaults import check_output, compile_with_defaults
from pipelines.dependencies import write_dependencies
from pipelines.expected import expected
from pipelines.follow import POLL, follow
from pipelines.graph import specification, tasks
from pipelines.local import Runner, run_local
from pipelines.outputs import outputs
from pipelines.pipeline import pipeline as built
from pipelines.reference import write_reference
from pipelines.runs import check_run, find_run
from pipelines.server import access, connect

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Params = Annotated[Path, typer.Option(help="YAML file of parameters")]
Remote = Annotated[str | None, typer.Option(help="url of the DVC remote; default: DVC's own default")]
Endpoint = Annotated[str | None, typer.Option(help="URL of the S3 store, if it is not AWS itself")]
Lock = Annotated[Path, typer.Option(help="DVC's lock file, which knows the data's md5")]
MutableImages = Annotated[
    bool,
    typer.Option("--mutable-images", help="allow images without digest: on the nodes, as `make images` calls them"),
]
Host = Annotated[str | None, typer.Option(envvar="KFP_HOST", help="address of the API, http://… or https://…")]
Namespace = Annotated[str | None, typer.Option(envvar="KFP_NAMESPACE", help="where several users share the cluster")]
Token = Annotated[str | None, typer.Option(envvar="KFP_TOKEN", help="better in KFP_TOKEN, or in a file")]
TokenFile = Annotated[Path | None, typer.Option(help="file that holds the token")]


@app.command("compile")
def compile_pipeline(
    output: Annotated[Path, typer.Argument(help="file to write")] = Path("longtail.yaml"),
    params: Params = Path("params.yaml"),
    lock: Lock = Path("dvc.lock"),
    remote: Remote = None,
    endpoint: Endpoint = None,
    mutable_images: MutableImages = False,
) -> None:
    """Write the pipeline as YAML, for `kfp run create` or the dashboard, with the parameters as defaults."""
    check_output(output)
    pipeline, arguments = _for_cluster(params, lock, remote, endpoint, mutable_images=mutable_images)
    compile_with_defaults(pipeline, arguments, output)
    typer.echo(f"wrote {output}")


@app.command("local")
def run_here(
    runner: Annotated[Runner, typer.Option(help="one container a step, or one process a step")] = "docker",
    params: Params = Path("params.yaml"),
    lock: Lock = Path("dvc.lock"),
    remote: Annotated[str | None, typer.Option(help="fetch the data from here; default: DVC's cache here")] = None,
    root: Annotated[Path, typer.Option(help="directory for what the steps write")] = Path("artifacts/local"),
    gpus: Annotated[bool, typer.Option("--gpus", help="give containers this machine's GPUs")] = False,
) -> None:
    """Run the pipeline on this machine."""
    fetch = fetch_section(lock, remote or str(dvc_cache()))
    pipeline = built(trainings_of(params), settings=None, edges=has_edges(params))
    made = run_local(pipeline, {"fetch": fetch, **sections(params)}, runner, root, gpus=gpus)
    typer.echo(f"the report is {made / 'evaluate' / 'page'}")


@app.command()
def submit(
    host: Host = None,
    namespace: Namespace = None,
    token: Token = None,
    token_file: TokenFile = None,
    experiment: Annotated[str, typer.Option(help="made if it does not exist")] = "longtail",
    run_name: Annotated[str | None, typer.Option(help="default: the time and the commit")] = None,
    service_account: Annotated[str, typer.Option(help="that steps run as; infra/ makes it")] = "longtail-pipeline",
    cache: Annotated[bool, typer.Option(help="take over what earlier runs have made of the same inputs")] = True,
    wait: Annotated[bool, typer.Option("--wait", help="follow the run; the exit status is its result")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check and show everything, send nothing")] = False,
    mutable_images: MutableImages = False,
    params: Params = Path("params.yaml"),
    lock: Lock = Path("dvc.lock"),
    remote: Remote = None,
    endpoint: Endpoint = None,
    poll: Annotated[float, typer.Option(hidden=True)] = POLL,
) -> None:
    """Run the pipeline on a cluster."""
    pipeline, arguments = _for_cluster(params, lock, remote, endpoint, mutable_images=mutable_images)
    name = run_name or submission.run_name()
    run = submission.Submission(pipeline, arguments, experiment, name, cache, service_account or None)
    if dry_run:
        typer.echo(f"{run}\nto: {host or 'no host given'}, namespace: {namespace or 'the server has one for all'}")
        return
    to = access(host, namespace, token, token_file)
    client = connect(to)
    run_id = submission.send(run, client, to)
    typer.echo(f"run {run_id}\n{to.page(run_id)}")
    if wait:
        try:
            follow(client, to, run_id, run.tasks, poll)
        except KeyboardInterrupt:
            typer.echo(f"no longer waiting; the run goes on at {to.page(run_id)}", err=True)
            raise typer.Exit(130) from None


def _for_cluster(
    params: Path, lock: Path, remote: str | None, endpoint: str | None, *, mutable_images: bool
) -> tuple[BaseComponent, dict[str, Any]]:
    """The pipeline and its arguments, checked; doubts are printed. Raises DataError if no cluster could run them."""
    faults = Faults()
    with faults.collected():
        fetch = fetch_section(lock, remote, endpoint)
        submission.check_reachable(**fetch)
    with faults.collected():
        of_steps = sections(params)
        submission.check_weights(of_steps["start"])
    with faults.collected():
        settings = kubernetes_settings(params)
    with faults.collected():
        submission.check_images(mutable=mutable_images)
    faults.settle()
    pipeline = built(trainings_of(params), settings, edges=has_edges(params))
    arguments = {"fetch": fetch, **of_steps}
    for doubt in submission.doubts():
        typer.echo(f"warning: {doubt}", err=True)
    return pipeline, arguments


@app.command()
def adopt(
    run_id: Annotated[str, typer.Argument(help="as `submit` prints it")],
    host: Host = None,
    namespace: Namespace = None,
    token: Token = None,
    token_file: TokenFile = None,
    pipeline_root: Annotated[str | None, typer.Option(help="s3://… or minio://…; default: the run's own")] = None,
    endpoint: Annotated[str | None, typer.Option(help="URL of the store, from here; default: as for DVC")] = None,
    any_commit: Annotated[bool, typer.Option("--any-commit", help="compare the code, but not the commit")] = False,
) -> None:
    """Bring the results of a finished run into this workspace, so that `dvc repro` finds nothing to do."""
    to = access(host, namespace, token, token_file)
    params = Path("params.yaml")  # which dvc.yaml names
    mine = expected(params, any_commit=any_commit)
    pipeline = built(trainings_of(params), settings=None, edges=has_edges(params))
    wanted = outputs(params, pipeline)
    client = connect(to)
    run = find_run(client, to, run_id)
    check_run(run, to, str(pipeline.name), {task.name for task in tasks(specification(pipeline))})
    store = adoption.open_store(run, to, pipeline_root, endpoint or default_endpoint())
    chooser = adoption.Chooser(store, run, mine, lambda other: find_run(client, to, other))
    copies = [chooser.choose(made) for made in wanted]
    for one in copies:
        if one.copy.run != run.id:
            typer.echo(f"{one.outputs.stage} came from the cache: it is what the run {one.copy.run} made")
    adoption.adopt(store, copies)
    (report,) = (made.artifacts["report"] for made in wanted if made.stage == STEPS[-1])
    typer.echo(f"adopted the run {run.id}; the report is {report / 'report.html'}")


@app.command()
def dependencies() -> None:
    """Write into dvc.yaml which source files each stage runs, as the imports say."""
    write_dependencies(Path("dvc.yaml"))


@app.command()
def parameters() -> None:
    """Write docs/parameters.md, which has every parameter of params.yaml, from the code."""
    write_reference()


if __name__ == "__main__":
    with one_sentence():
        app()
