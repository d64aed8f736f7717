"""The cuts step: every clip is conformed to the aspects that the shot asks for. Nothing here is paid for."""

from __future__ import annotations

from pathlib import Path

from callsheet.archive.layout import cut_name
from callsheet.cutting.analysis import Analysis, analyse
from callsheet.cutting.encode import make_cut
from callsheet.cutting.plan import plan_cut
from callsheet.errors import CallsheetError
from callsheet.media.provenance import Provenance, xmp_packet
from callsheet.platforms import PlatformSpec, load_platforms
from callsheet.shots import Asset, Shot
from callsheet.steps import all_of
from callsheet.steps.clips import make_poster
from callsheet.steps.deposit import Deposit, deposit_derived, fetch
from callsheet.steps.signing import carries_credentials, sign_cut
from callsheet.steps.work import CutWork, Work, failure_of, is_transient, state_of
from callsheet.studio import Studio


async def make_cuts(studio: Studio, work: Work) -> None:
    """Make every cut of every clip; a cut that fails leaves the others alone and the shot failed."""
    several = len(work.clips) > 1
    made = [clip for clip in work.clips if clip.asset is not None]
    work.cuts = [CutWork(spec, clip.take) for clip in made for spec in work.shot.cuts]
    clips = {clip.take: clip.asset for clip in made if clip.asset}
    await all_of(_make_cut(studio, work, clips[cut.take], cut, several) for cut in work.cuts)


async def _make_cut(studio: Studio, work: Work, clip: Asset, cut: CutWork, several: bool) -> None:
    shot = work.shot
    known = (a for a in studio.assets_of(shot) if a.kind == "cut" and a.parent == clip.sha256)
    try:
        source = await fetch(studio, clip.sha256, clip.size)
        spec = load_platforms(studio.settings.platforms).get(cut.spec)
        analysis = await analyse(source)
        plan = plan_cut(analysis, spec)
        cut.how, cut.crop = plan.how, plan.crop
        cut.asset = next((asset for asset in known if asset.name.startswith(f"cut-{cut.spec}-")), None)
        studio.tally.count("cut", "created" if cut.asset is None else "reused")
        cut.asset = cut.asset or await _encode(
            studio, shot, clip, source, analysis, spec, cut.take if several else None
        )
        cut.signed = await carries_credentials(studio, cut.asset)
        cut.poster = await make_poster(studio, shot, cut.asset)
    except CallsheetError as error:
        if is_transient(error):
            raise
        cut.failure = failure_of("cuts", error, f"cut-{cut.spec}")
        work.ended = work.ended or state_of(error)
    finally:
        studio.progress.advance("cuts", failed=cut.asset is None)


async def _encode(
    studio: Studio, shot: Shot, clip: Asset, source: Path, analysis: Analysis, spec: PlatformSpec, take: int | None
) -> Asset:
    target = studio.spool.scratch(".mp4")
    xmp = xmp_packet(Provenance(asset_id=clip.sha256, model=clip.model or ""))
    result = await make_cut(source, spec, target, analysis=analysis, xmp=xmp, encoders=studio.encoder_slots)
    if studio.signer is not None:
        target = await sign_cut(studio, studio.signer, target, result.plan, clip, source)
    probe = result.probe
    new = Deposit("cut", "video/mp4", probe.width, probe.height, probe.duration_s, parent=clip.sha256)
    return await deposit_derived(
        studio, shot, new, target, lambda sha: cut_name(spec.name, sha, "video/mp4", take=take)
    )
