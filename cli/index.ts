/**
 * The library on Node: the three jobs of the command line as functions, their options and results, and the errors
 * they throw. Nothing here prints or ends the process; what happens is told through `onEvent`.
 */
export * from '../src/errors.ts';
export type { Finding, FindingCode, FindingLevel } from '../src/metadata/findings.ts';
export type { OnEvent, RunEvent } from '../src/run/events.ts';
export { parseRecipe, type Recipe } from '../src/run/recipe.ts';
export type { ScoreTotals } from '../src/run/totals.ts';
export type { VerifyReport } from '../src/run/verify.ts';
export type { Comparison } from '../src/select/compare.ts';
export type { Filter, FilterInput } from '../src/select/spec.ts';
export type { RemoveReport } from '../src/subset/remove.ts';
export type { ReshardReport } from '../src/subset/reshard.ts';
export { VERSION } from '../src/version.ts';
export { openHead } from './heads/store.ts';
export { type CentroidsOptions, type CentroidsTotals, trainCentroids } from './jobs/centroids.ts';
export { type CompareOptions, compareScores } from './jobs/compare.ts';
export { type DoctorReport, examine } from './jobs/doctor.ts';
export { type EmbedOptions, type EmbedTotals, embedShards } from './jobs/embed.ts';
export { type FilterOptions, type FilterTotals, filterShards } from './jobs/filter.ts';
export { type MergeOptions, type MergeTotals, mergeParts } from './jobs/merge.ts';
export type { PlannedFilter, RunPlan } from './jobs/plan.ts';
export { type RecipeOptions, runRecipe } from './jobs/recipe.ts';
export { type RefineOptions, type RefineReport, refineScores } from './jobs/refine.ts';
export { type RemoveOptions, removeFromShards } from './jobs/remove.ts';
export { type ReshardOptions, reshardShards } from './jobs/reshard.ts';
export { reportSafety, type SafetyReportOptions } from './jobs/safety-report.ts';
export { type ScoreOptions, scoreShards } from './jobs/score.ts';
export { type SelectOptions, type SelectTotals, selectSubset } from './jobs/select.ts';
export { type SetupCudaOptions, type SetupCudaTotals, setupCuda } from './jobs/setup-cuda.ts';
export { ShardsFailedError, type StepTotals } from './jobs/steps.ts';
export {
  type CombineOptions,
  type CombineTotals,
  combineSubsets,
  describeSubsets,
  type SubsetsInfo,
} from './jobs/subset.ts';
export { type TrainedHead, type TrainHeadOptions, trainHead } from './jobs/train-head.ts';
export { type VerifyOptions, verifyFolders } from './jobs/verify.ts';
export { listModels, type ModelRow } from './models/list.ts';
export { pullModel, type ResolvedModel, resolveModel } from './models/resolve.ts';
export { openNsfwjs } from './safety/nsfwjs.ts';
export { openTextClassifier } from './safety/text-classifier.ts';
export { builtInWords } from './safety/words.ts';
