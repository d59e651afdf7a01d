/** `GET /v1/models`: what may be asked here. */
import { describeModel } from './engine.ts';
import type { Route } from './route.ts';
import { ANSWERS, type ModelsAnswer } from './schemas.ts';
import type { Service } from './service.ts';

export function modelsRoute(service: Service): Route {
  return {
    method: 'get',
    path: '/v1/models',
    operationId: 'models',
    summary: 'Models, classifiers and limits of this server',
    scope: 'score',
    curl: 'curl -H "Authorization: Bearer $KEY" $URL/v1/models',
    answers: {
      200: { description: 'The first is the default.', content: { 'application/json': ANSWERS.models } },
    },
    handle(context) {
      const { models, nsfw, fetchUrl, limits } = service;
      const answer: ModelsAnswer = {
        models: models.map((model, i) => ({
          ...describeModel(model, service),
          default: i === 0,
          dim: model.clip.dim,
          image_size: model.clip.imageSize,
          context_length: model.clip.contextLength,
          logit_scale: model.clip.logitScale,
          preprocess: model.preprocess,
          heads: model.heads.map(({ head: { info } }) => ({ name: info.name, columns: info.columns })),
        })),
        nsfwjs: nsfw !== undefined,
        urls: fetchUrl !== undefined,
        limits: { ...limits },
      };
      return context.json(answer);
    },
  };
}
