/**
 * Both GELUs have a least value, at x ≈ −0.75 and −0.75: −0.16997 for the exact one, −0.16364 for x·sigmoid(1.702x).
 * Moved up by this, what comes out of either lies between 0 and the token's greatest value, and all of the byte is used.
 */
export const LEAST_ACTIVATION = -0.17;
