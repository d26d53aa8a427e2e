ALTER TABLE "evaluations" ADD COLUMN "warnings" jsonb;--> statement-breakpoint
ALTER TABLE "evaluations" ADD COLUMN "retry_at" bigint;--> statement-breakpoint
ALTER TABLE "evaluations" ADD COLUMN "tries" bigint DEFAULT 0 NOT NULL;