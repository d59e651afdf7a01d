import type { RemoveReport } from '../../src/subset/remove.ts';
import type { ReshardReport } from '../../src/subset/reshard.ts';
import { bytes, count, plural } from './format.ts';

/** What resharding and removing did, for machines (`--json`, one object) and for people (lines). */

export function reshardSummary(report: ReshardReport, seconds: number) {
  const failures = report.inputs.flatMap(({ shard, error }) =>
    error === undefined ? [] : [{ shard, problem: error.problem, message: error.message }],
  );
  return {
    seen: report.seen,
    kept: report.kept,
    dropped: report.dropped,
    written: report.written,
    renamed: report.renamed,
    unsafe_names: report.unsafe,
    damaged: report.damaged,
    ...(report.leftOut.length > 0 ? { left_out: report.leftOut } : {}),
    ...(report.faces === undefined ? {} : { faces: report.faces }),
    no_uid: report.noUid,
    not_found: report.notFound,
    shards: { written: report.shards.length, failed: failures.length },
    ...(failures.length > 0 ? { failures } : {}),
    seconds: Math.round(seconds * 1000) / 1000,
  };
}

/** @param dryRun says what would be done. */
export function reshardLines(report: ReshardReport, dryRun = false): string[] {
  const size = report.shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const lines = [
    `${plural(report.written, 'sample')} ${dryRun ? 'would be ' : ''}written to ${plural(report.shards.length, 'shard')}, ${bytes(size)}; ${count(report.dropped)} dropped`,
  ];
  if (report.renamed > 0) lines.push(`${plural(report.renamed, 'sample')} renamed, as their key was taken`);
  if (report.unsafe > 0) lines.push(`${plural(report.unsafe, 'sample')} renamed, as their names were unsafe`);
  for (const [reason, n] of Object.entries(report.damaged)) {
    lines.push(`${plural(n, 'sample')} of the subset left out: ${reason}`);
  }
  for (const { shard, key, detail } of report.leftOut)
    lines.push(`  ${shard}, ${JSON.stringify(key)}: ${detail}`);
  lines.push(...faceLines(report));
  if (report.notFound.count > 0) {
    lines.push(
      `${plural(report.notFound.count, 'uid')} not found in the shards: ${report.notFound.first.join(', ')}`,
    );
  }
  for (const { error } of report.inputs) if (error !== undefined) lines.push(`  ${error.message}`);
  return lines;
}

function faceLines({ faces }: ReshardReport): string[] {
  if (faces === undefined) return [];
  const { blurred, boxes, injected, unknown, pictures } = faces;
  const lines = [];
  if (blurred > 0) lines.push(`${plural(boxes, 'face')} blurred in ${plural(blurred, 'picture')}`);
  if (injected > 0) lines.push(`boxes of faces written into the JSON of ${plural(injected, 'sample')}`);
  if (unknown > 0) {
    lines.push(
      `${plural(unknown, 'sample')} of which the metadata does not say whether there are faces: as they were`,
    );
  }
  if (pictures > 0) lines.push(`${plural(pictures, 'further picture')} of blurred samples left out`);
  return lines;
}

export function removeSummary(report: RemoveReport, seconds: number) {
  const failures = report.shards.flatMap(({ name, error }) =>
    error === undefined ? [] : [{ shard: name, message: error.message }],
  );
  return {
    seen: report.seen,
    removed: report.removed,
    no_uid: report.noUid,
    not_found: report.notFound,
    shards: {
      rewritten: report.shards.filter(({ removed }) => removed > 0).map(({ name }) => name),
      untouched: report.shards.filter(({ removed, error }) => removed === 0 && error === undefined).length,
      failed: failures.length,
    },
    ...(failures.length > 0 ? { failures } : {}),
    seconds: Math.round(seconds * 1000) / 1000,
  };
}

export function removeLines(report: RemoveReport, dryRun = false): string[] {
  const changed = report.shards.filter(({ removed }) => removed > 0);
  const would = dryRun ? 'would be ' : '';
  const lines = [
    `${count(report.removed)} of ${plural(report.seen, 'sample')} ${would}removed; ${count(changed.length)} of ${plural(report.shards.length, 'shard')} ${would}written anew`,
  ];
  if (report.noUid > 0)
    lines.push(`${plural(report.noUid, 'sample')} without a uid that can be known: they stay`);
  if (report.notFound.count > 0) {
    const named = report.notFound.first.join(', ');
    lines.push(`${plural(report.notFound.count, 'uid')} not found in the shards: ${named}`);
  }
  for (const { error } of report.shards) if (error !== undefined) lines.push(`  ${error.message}`);
  return lines;
}
