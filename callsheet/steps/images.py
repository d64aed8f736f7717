"""The images step.

Every take of a shot is made, or known why not, and is in the archive.
"""

from __future__ import annotations

from callsheet.archive.layout import take_name
from callsheet.concurrency import gather_all
from callsheet.context.context import RunContext
from callsheet.context.shot_state import (
    ShotState,
    TakeState,
    failure_of,
    failure_of_job,
    is_transient,
    most_open,
    state_after,
    state_of,
)
from callsheet.errors import CallsheetError, ParentAwaited
from callsheet.jobs.charges import picture_charge
from callsheet.jobs.persist import persist
from callsheet.jobs.replies import picture_of_another_ledger
from callsheet.jobs.runner import JobRunner, PaidJob, Sending
from callsheet.jobs.spool_files import keep_picture
from callsheet.jobs.store import PaidFile, others_of, read_frame, read_reference, store_paid_file
from callsheet.ledger import Attempt, Job, JobOrder
from callsheet.plan.edited import hash_edited
from callsheet.plan.models_used import with_image_model
from callsheet.plan.requests import image_request, take_estimate, take_key, take_order
from callsheet.providers.protocol import ImageResult
from callsheet.shots import ShotOutcome
from callsheet.steps.archive import tell_intent
from callsheet.steps.parents import await_parents, check_approved


async def make_images(run: RunContext, work: ShotState) -> None:
    """Make the shot's takes, side by side.

    The shot goes on when at least one of them is there. One that is made of a take of another shot waits for that; it
    ends here when the take does not come in this run.
    """
    try:
        work.shot = await await_parents(run, work.shot)
    except ParentAwaited as error:
        work.fail(failure_of("images", error), state_of(error))
        return
    for number in range(1, work.shot.takes + 1):
        work.takes.setdefault(number, TakeState(number, take_key(run.batch, work.shot, number)))
    states = await gather_all(_make_take(run, work, take) for take in work.takes.values())
    for take, state in zip(work.takes.values(), states, strict=True):
        take.left = state
    if work.takes and not any(take.asset for take in work.takes.values()):
        work.ended = work.ended or most_open(states)


async def _make_take(run: RunContext, work: ShotState, take: TakeState) -> ShotOutcome | None:
    """Make one take.

    Returns None when it is there, else the state in which its absence leaves the shot.
    """
    if take.asset is not None:
        return None
    shot = work.shot
    parent = hash_edited(shot)
    order = take_order(run.batch, shot, take.number)
    try:
        async with run.state.flight(order.key):
            take.job = job = await JobRunner(run).run(order, lambda sent: _build_paid_take(run, work, sent, take))
            if job.sha256 and job.mime_type:
                name = take_name(take.number, job.sha256, job.mime_type)
                take.asset = await store_paid_file(run, shot, PaidFile("take", job, name, parent))
                work.move()
                take.others = others_of(run, shot, take.asset)
                return None
        take.failure = failure_of_job("images", job, order.slot)
        return state_after(job)
    except CallsheetError as error:
        if is_transient(error):
            raise
        take.failure = failure_of("images", error, order.slot)
        return state_of(error)
    finally:
        run.state.progress.advance("images", failed=take.asset is None)


def _build_paid_take(run: RunContext, work: ShotState, order: JobOrder, take: TakeState) -> PaidJob[ImageResult]:
    """Return what a take hands to the runner, at the prices of the day."""
    model = run.resources.price_model(order.model)
    shot = with_image_model(work.shot, model)

    async def prepare() -> Sending[ImageResult]:
        parent = [await read_frame(run, shot.edit_of.picture)] if shot.edit_of and shot.edit_of.picture else []
        given = (*parent, *[await read_reference(run, reference, order.model) for reference in shot.reference_images])
        provider = run.resources.providers.images_for(order.model, about_people=shot.person_generation is not None)
        if model.id != work.shot.image_model:
            await tell_intent(run, work, order.key)
        return Sending(provider.make, lambda attempt: image_request(shot, take.number, given, order.key, attempt.n))

    async def keep(result: ImageResult, attempt: Attempt) -> Job:
        kept = await keep_picture(run, result, picture_charge(result.tokens, order, model, attempt.estimate))
        what = f"picture {kept.sha256[:12]} of shot {shot.id}, job {order.key[:12]}"
        return await persist(run, lambda: run.resources.ledger.record_result(order.key, kept, attempt), what)

    return PaidJob(
        order=order,
        price=take_estimate(model, shot),
        slots=run.resources.image_slots,
        prepare=prepare,
        keep=keep,
        check=lambda: check_approved(run, shot),
        recall=lambda attempt: picture_of_another_ledger(run, order, attempt),
    )
