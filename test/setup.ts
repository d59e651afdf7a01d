import fc from 'fast-check';

// One seed, so that a run says the same on every machine; FC_SEED looks elsewhere, and tools/fuzz looks further.
fc.configureGlobal({ seed: Number(process.env['FC_SEED'] ?? 20_261_124) });
