DROP INDEX "rollouts_unfinished";--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "waiting_since" bigint;--> statement-breakpoint
CREATE INDEX "rollouts_unfinished" ON "rollouts" USING btree ("revision_id") WHERE "rollouts"."state" in ('NEXT', 'WAITING_APPROVAL', 'READY', 'ROLLING', 'SOAKING', 'PAUSED');