ALTER TABLE "hosts" ADD COLUMN "stable_by" text;--> statement-breakpoint
ALTER TABLE "rollout_stories" ADD COLUMN "rings" jsonb;