ALTER TABLE "repositories" ADD COLUMN "held_cause" jsonb;--> statement-breakpoint
ALTER TABLE "repositories" ADD COLUMN "allowed_cause" jsonb;