/** Writes `recipes/recipe.schema.json` from the schemas in `src/`; a test holds the file to them. */
import { fs } from 'zx';
import { recipeJsonSchema } from '../src/run/recipe.ts';

await fs.writeFile('recipes/recipe.schema.json', `${JSON.stringify(recipeJsonSchema(), null, 2)}\n`);
