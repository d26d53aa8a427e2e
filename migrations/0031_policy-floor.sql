ALTER TABLE "revisions" ADD COLUMN "glass" jsonb;--> statement-breakpoint
ALTER TABLE "revisions" ADD COLUMN "glass_at" bigint;