ALTER TABLE "evaluations" ADD COLUMN "labels" jsonb;--> statement-breakpoint
ALTER TABLE "evaluations" ADD COLUMN "ring" text;--> statement-breakpoint
ALTER TABLE "revisions" ADD COLUMN "policy" jsonb;