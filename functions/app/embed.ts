/** `POST /v1/embed`: unit embeddings of pictures and captions. */
import { VOCABULARY_SIZE } from '../../src/clip/tokenizer/tokenizer.ts';
import {
  describeModel,
  embedCaptions,
  embedSeen,
  encodeRow,
  note,
  understand,
  withinTime,
} from './engine.ts';
import type { Form } from './form.ts';
import type { PictureReader } from './pictures.ts';
import { fieldProblem } from './problems.ts';
import { BODY_PROBLEMS, type Route } from './route.ts';
import { ANSWERS, type EmbedAnswer, type RequestSchemas } from './schemas.ts';
import type { ServedModel, Service } from './service.ts';

const FORM: Form = {
  fields: [
    { name: 'image', kind: 'file', repeated: true, description: 'A picture.' },
    { name: 'caption', kind: 'text', repeated: true, description: 'A caption.' },
    { name: 'model', kind: 'text', description: 'Name or slug of a model.' },
    { name: 'embeddings', kind: 'text', description: '`float` (default) or `base64`.' },
  ],
  toJson: (values) => ({
    model: values.text('model'),
    images: values.images('image'),
    captions: values.texts('caption'),
    embeddings: values.text('embeddings'),
  }),
};

export function embedRoute(service: Service, schemas: RequestSchemas, read: PictureReader): Route {
  const { limits } = service;
  return {
    method: 'post',
    path: '/v1/embed',
    operationId: 'embed',
    summary: 'Unit embeddings of pictures and captions',
    scope: 'score',
    curl: `curl -H "Authorization: Bearer $KEY" -F image=@cat.jpg -F 'caption=a cat' $URL/v1/embed`,
    body: { 'application/json': schemas.embed, 'multipart/form-data': { form: FORM.fields } },
    answers: { 200: { description: 'The embeddings.', content: { 'application/json': ANSWERS.embed } } },
    problems: BODY_PROBLEMS,
    async handle(context) {
      const { request, parts, model, started } = await understand(context, service, schemas.embed, FORM);
      const { images, captions, embeddings } = request;
      const tokens = tokensFor(model, request.tokens);
      note(context, {
        images: images.length,
        captions: captions.length + tokens.length,
      });
      const { dim } = model.clip;
      const { seen, pictures, texts, ids } = await withinTime(context, limits, async (signal) => {
        const placed = images.map((source, i) => ({ source, path: ['images', i] }));
        const seen = await read(placed, parts, { preprocess: model.preprocess, nsfw: false }, signal);
        const [pictures, texts, ids] = await Promise.all([
          embedSeen(model, seen, signal),
          embedCaptions(model, captions, limits, signal),
          tokens.length === 0 ? new Float32Array(0) : model.clip.embedTexts(tokens, signal),
        ]);
        return { seen, pictures, texts, ids };
      });
      const answer: EmbedAnswer = {
        model: describeModel(model, service),
        images: seen.map(({ header }, i) => ({
          ...header,
          embedding: encodeRow(pictures, i, dim, embeddings),
        })),
        captions: texts.rows.map((row, i) => ({
          truncated: texts.truncated[i],
          embedding: encodeRow(texts.data, row, dim, embeddings),
        })),
        tokens: tokens.map((_, i) => ({ embedding: encodeRow(ids, i, dim, embeddings) })),
        took_ms: performance.now() - started,
      };
      return context.json(answer);
    },
  };
}

/** Throws `Problem` 422 where they cannot be those of a caption. */
function tokensFor({ clip, tokenizer }: ServedModel, tokens: readonly number[][]): Int32Array[] {
  const longest = Math.min(clip.contextLength, tokenizer.contextLength);
  return tokens.map((ids, i) => {
    if (ids.length > longest) {
      const detail = `has ${ids.length} tokens, the model takes ${longest}`;
      throw fieldProblem('invalid', { pointer: `/tokens/${i}`, detail });
    }
    const outside = ids.findIndex((id) => id >= VOCABULARY_SIZE);
    if (outside >= 0) {
      const detail = `is no token: there are ${VOCABULARY_SIZE}`;
      throw fieldProblem('invalid', { pointer: `/tokens/${i}/${outside}`, detail });
    }
    return Int32Array.from(ids);
  });
}
