import { isEndedRollout } from './rollouts.ts';
