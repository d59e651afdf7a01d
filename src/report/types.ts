/**
 * What a safety report says, as `report.json` holds it. Shares are of rows, 0 to 1; an estimate has a 95% interval. A
 * row that has no value in a column is unjudged there and counts neither as removed nor as kept.
 */
import type { Estimate } from '../safety/heads/train/metrics.ts';

export interface SafetyReport {
  /** Version that made it. */
  shardsieve: string;
  rows: number;
  files: number;
  /** The measure that tables of groups and examples begin with. */
  main: string;
  /** Names of the levels at which every measure has a threshold. */
  levels: string[];
  measures: MeasureReport[];
  /** Rows by LAION's tag, null for those without; null in all where there is no `nsfw_tag`. `select --safe` keeps `UNLIKELY`. */
  tags: { tag: string | null; rows: number; share: number }[] | null;
  agreement: AgreementReport | null;
  groups: GroupsReport[];
  labelled: LabelledReport | null;
  examples: ExamplesReport | null;
  notes: string[];
}

/** A column, or a sum of columns, that says how unsafe a row is; a row at or above a threshold is removed. */
export interface MeasureReport {
  name: string;
  /** What is added up. */
  columns: string[];
  judged: number;
  unjudged: number;
  mean: number | null;
  /** Values outside of 0 to 1. */
  below_zero: number;
  above_one: number;
  /** By the places of `levels`. */
  at: Removed[];
  /** Ascending thresholds. */
  curve: { threshold: number; removed: number; passed: number }[];
}

export interface Removed {
  threshold: number;
  removed: number;
  /** Of the judged; NaN, written as null, where there are none. */
  share: Estimate;
}

export interface AgreementReport {
  measures: string[];
  /** Rows that Spearman's correlation was taken over, out of all: all of them, or a sample drawn evenly. */
  sampled: number;
  pairs: PairReport[];
  /** By the places of `levels`: rows that some head flags, and those that one flags alone. */
  alone: { any: number; by: { measure: string; flagged: number; alone: number }[] }[];
}

export interface PairReport {
  a: string;
  b: string;
  /** Rows judged by both. */
  rows: number;
  /** Rank correlation; null where one of them never changes. */
  spearman: number | null;
  at: PairCounts[];
}

export interface PairCounts {
  both: number;
  only_a: number;
  only_b: number;
  neither: number;
  /** Cohen's; null where both flag all rows or none. */
  kappa: number | null;
}

export interface GroupsReport {
  /** `language (lang_fasttext)`, `smaller side`, … */
  by: string;
  groups: GroupReport[];
  /** Values that were too many to be counted apart, all in one group. */
  merged: number;
}

export interface GroupReport {
  value: string;
  rows: number;
  measures: {
    measure: string;
    unjudged: number;
    /** By the places of `levels`. `against`: whether the interval lies wholly beyond 1.1 times the pool's share, either way. */
    at: (Removed & { against: 'more' | 'fewer' | 'same' })[];
  }[];
}

export interface LabelledReport {
  file: string;
  /** Name of the class that is looked for. */
  positive: string;
  samples: number;
  positives: number;
  measures: LabelledMeasure[];
  comparisons: Comparison[];
}

export interface LabelledMeasure {
  name: string;
  samples: number;
  positives: number;
  unjudged: number;
  /** Null where the judged samples are all of one class. */
  roc_auc: Estimate | null;
  average_precision: Estimate | null;
  at: { threshold: number; flagged: number; precision: Estimate; recall: Estimate }[];
  /** False and true positive rates from (0, 0) to (1, 1), and precision at each recall. */
  roc: { fpr: number; tpr: number }[];
  pr: { recall: number; precision: number }[];
}

/** DeLong's test of two areas on the samples that both judge. */
export interface Comparison {
  a: string;
  b: string;
  samples: number;
  /** Area of a minus area of b, with its interval. */
  difference: Estimate;
  /** Two-sided; null where the difference has no spread. */
  p: number | null;
  /**
   * Labelled samples in all that would tell a difference of this size apart in 80% of the cases at 5%, and how many
   * more that is; null where there is no difference, or no spread to reckon with.
   */
  needed: number | null;
  more: number | null;
}

/** Only with leave to show them. */
export interface ExamplesReport {
  measure: string;
  threshold: number;
  /** How pictures were made unrecognisable, or that they were not. */
  pictures: 'none' | 'blurred' | 'clear';
  sets: { title: string; rows: { uid: string; score: number }[] }[];
}
