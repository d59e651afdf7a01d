/**
 * The neutral core: everything that runs without Node, in browsers and on Workers too. A platform hands in what it
 * has: a `ByteSource`, a `Folder`, an `ImageDecoder`, a `SessionFactory`.
 */

export { textClassifierAnnotator, wordsAnnotator } from './annotate/captions.ts';
export { headAnnotator } from './annotate/heads.ts';
export { type AnnotateJob, type AnnotateTotals, annotate } from './annotate/job.ts';
export { languageAnnotator } from './annotate/language.ts';
export { hashesAnnotator, nsfwjsAnnotator } from './annotate/pictures.ts';
export { punsafeAnnotator } from './annotate/punsafe.ts';
export { tarPictures } from './annotate/tars.ts';
export type { AnnotateBatch, Annotator, PictureSource } from './annotate/types.ts';
export { type ClipConfig, parseClipConfig } from './clip/config.ts';
export { type Embedder, embedderOf } from './clip/embedder.ts';
export { type ClipModel, type ClipParts, cosine, loadClip } from './clip/model.ts';
export { createTokenizer, type Encoded, type Tokenizer } from './clip/tokenizer/tokenizer.ts';
export * from './errors.ts';
export { inputLength, normalise, preprocess, preprocessBytes } from './image/preprocess.ts';
export { type PreprocessConfig, parsePreprocess, preprocessFingerprint } from './image/preprocess-config.ts';
export { sniff } from './image/sniff.ts';
export type { DecodeOptions, Fit, ImageDecoder, ImageHeader, Pixels } from './image/types.ts';
export type { ByteSource, Folder, Sink, SourceIdentity } from './io/bytes.ts';
export { memoryFolder, memorySource } from './io/memory.ts';
export type { Detection, LanguageDetector } from './language/types.ts';
export { type CheckedFolders, checkFolders } from './metadata/check.ts';
export { type Finding, formatFinding } from './metadata/findings.ts';
export type { ClipColumns, Row, ShardTable, Skipped } from './metadata/table.ts';
export type { Session, SessionFactory, Tensor } from './onnx/session.ts';
export { gateOf } from './run/plan/gate.ts';
export { type FilterPlan, gateEntry, planFilters } from './run/plan/plan.ts';
export { type BlockKind, type BlockList, domainOf, parseBlockList } from './safety/blocklist.ts';
export { readHead } from './safety/heads/file.ts';
export type { Head, HeadInfo } from './safety/heads/head.ts';
export { type HeadRunner, headRunner } from './safety/heads/run.ts';
export { checkSpace, type EmbeddingModel } from './safety/heads/space.ts';
export { loadNsfwjs, type Nsfwjs } from './safety/nsfwjs/model.ts';
export { nsfwjsInput } from './safety/nsfwjs/preprocess.ts';
export { MIN_PDQ_QUALITY, type Pdq, pdq } from './safety/pdq/hash.ts';
export { PdqIndex, pdqDistance } from './safety/pdq/index.ts';
export { loadTextClassifier, type TextClassifier } from './safety/text/classifier.ts';
export { parseWordList, type WordList, WordMatcher } from './safety/words/words.ts';
export type { Gate } from './score/gate.ts';
export { type ScoredShard, type ScoreModel, type ScoreShardOptions, scoreShard } from './score/shard.ts';
export { type Selection, selectSubset } from './select/select.ts';
export { type RemoveReport, removeSamples } from './subset/remove.ts';
export { type ReshardReport, reshard } from './subset/reshard.ts';
export { readTar, type TarEntry } from './tar/reader.ts';
export { TarWriter } from './tar/writer.ts';
export { parseSubset, writeSubset } from './uids/npy.ts';
export { UidSet } from './uids/uid-set.ts';
export { VERSION } from './version.ts';
export { type Pair, type PairOptions, toPair } from './webdataset/pair.ts';
export { type RawSample, readSamples } from './webdataset/samples.ts';
