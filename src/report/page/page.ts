/**
 * A safety report as one page: no script, no request to anywhere, nothing that is not in the report. Pictures and
 * captions are in it only where they are handed in.
 */
import type { SafetyReport } from '../types.ts';
import { agreementSection } from './agreement.ts';
import { costSection } from './cost.ts';
import { examplesSection, type ShownExample } from './examples.ts';
import { groupsSection } from './groups.ts';
import { count, escaped } from './html.ts';
import { labelledSection } from './labelled.ts';
import { STYLE } from './style.ts';

export function reportPage(report: SafetyReport, shown?: readonly (readonly ShownExample[])[]): string {
  const { rows, files, measures, notes, shardsieve } = report;
  const sections = [
    costSection(report),
    labelledSection(report),
    agreementSection(report),
    groupsSection(report),
    examplesSection(report, shown),
  ].filter((section) => section !== '');
  const many = files === 1 ? '1 file' : `${count(files)} files`;
  const list = notes.map((note) => `<li>${escaped(note)}</li>`).join('');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>What a safe subset costs</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>What a safe subset costs</h1>
<p>${count(rows)} rows in ${many}, ${measures.length === 1 ? 'one measure' : `${measures.length} measures`} of how unsafe a row is. A row at or above a threshold is removed.</p>
<p class="soft">No filter is complete: these classifiers miss unsafe pictures and flag harmless ones. Shares say what a threshold takes, not whether it is right to${report.labelled ? '' : '; labelled samples (--labels) say that'}. Intervals are 95% ones and say only what the number of rows leaves open.</p>
${sections.join('\n')}
${list === '' ? '' : `<h2>Notes</h2>\n<ul>${list}</ul>`}
<p class="soft">Made by Shardsieve ${escaped(shardsieve)}.</p>
</main>
</body>
</html>
`;
}
