/**
 * Counters and times in Prometheus' text format (version 0.0.4 of its exposition formats). The client libraries read
 * processes and clocks of Node; this is their arithmetic alone, so that it runs at the edge, where each isolate counts
 * for itself.
 */

export type Labels = Readonly<Record<string, string | number>>;

export interface Metrics {
  /** Adds to a counter; its name ends in `_total`. */
  count(name: string, labels?: Labels, by?: number): void;
  /** Puts a value, seconds or a size, into a histogram. */
  observe(name: string, value: number, labels?: Labels): void;
  /** A value that is asked for when metrics are read. A second one of the same name and labels replaces the first. */
  gauge(name: string, value: () => number, labels?: Labels): void;
  text(): string;
}

/** `help` by name; whatever is not listed is refused, so that no metric goes undescribed. */
export type Described = Readonly<Record<string, { help: string; buckets?: readonly number[] }>>;

/** Of requests, seconds: a warm pair takes hundredths, a full batch on a small machine tens. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export const METRICS = {
  shardsieve_requests_total: { help: 'Requests answered, by route and status.' },
  shardsieve_request_seconds: { help: 'Time from a request to its answer, by route.', buckets: SECONDS },
  shardsieve_images_total: { help: 'Pictures embedded or classified, by model.' },
  shardsieve_captions_total: { help: 'Captions embedded, by model.' },
  shardsieve_problems_total: { help: 'Problem documents answered, by type.' },
  shardsieve_in_flight: { help: 'Requests being answered.' },
} satisfies Described;

/** What was answered for, of each model's slug. */
export function countDone(
  metrics: Metrics,
  models: readonly string[],
  { images, captions }: { images: number; captions: number },
): void {
  for (const model of models) {
    metrics.count('shardsieve_images_total', { model }, images);
    metrics.count('shardsieve_captions_total', { model }, captions);
  }
}

interface Histogram {
  counts: number[];
  sum: number;
  count: number;
}

/** Metrics in this process's memory. `more` describes those of a platform (queues, batches). */
export function createMetrics(more: Described = {}): Metrics {
  const described: Described = { ...METRICS, ...more };
  const counters = new Map<string, Map<string, number>>();
  const histograms = new Map<string, Map<string, Histogram>>();
  const gauges = new Map<string, Map<string, () => number>>();
  const seriesOf = <T>(all: Map<string, Map<string, T>>, name: string): Map<string, T> => {
    if (!Object.hasOwn(described, name)) throw new Error(`the metric ${name} is not described`);
    const series = all.get(name) ?? new Map<string, T>();
    all.set(name, series);
    return series;
  };
  return {
    count(name, labels = {}, by = 1) {
      const series = seriesOf(counters, name);
      const key = labelText(labels);
      series.set(key, (series.get(key) ?? 0) + by);
    },
    observe(name, value, labels = {}) {
      const series = seriesOf(histograms, name);
      const buckets = described[name].buckets ?? SECONDS;
      const key = labelText(labels);
      const held = series.get(key) ?? { counts: buckets.map(() => 0), sum: 0, count: 0 };
      buckets.forEach((bound, i) => {
        if (value <= bound) held.counts[i]++;
      });
      held.sum += value;
      held.count++;
      series.set(key, held);
    },
    gauge(name, value, labels = {}) {
      seriesOf(gauges, name).set(labelText(labels), value);
    },
    text() {
      const lines: string[] = [];
      const head = (name: string, type: string): void => {
        lines.push(`# HELP ${name} ${described[name].help}`, `# TYPE ${name} ${type}`);
      };
      for (const [name, series] of counters) {
        head(name, 'counter');
        for (const [labels, value] of series) lines.push(`${name}${braced(labels)} ${value}`);
      }
      for (const [name, series] of gauges) {
        head(name, 'gauge');
        for (const [labels, value] of series) lines.push(`${name}${braced(labels)} ${value()}`);
      }
      for (const [name, series] of histograms) {
        head(name, 'histogram');
        const buckets = described[name].buckets ?? SECONDS;
        for (const [labels, { counts, sum, count }] of series) {
          const bucket = (bound: number | '+Inf', value: number) =>
            lines.push(`${name}_bucket${braced(labels, `le="${bound}"`)} ${value}`);
          for (const [i, bound] of buckets.entries()) bucket(bound, counts[i]);
          bucket('+Inf', count);
          lines.push(`${name}_sum${braced(labels)} ${sum}`, `${name}_count${braced(labels)} ${count}`);
        }
      }
      return `${lines.join('\n')}\n`;
    },
  };
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(String(value))}"`)
    .join(',');
}

function braced(labels: string, more = ''): string {
  const all = [labels, more].filter((text) => text !== '').join(',');
  return all === '' ? '' : `{${all}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
