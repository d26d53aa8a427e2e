ALTER TABLE "trials" ADD COLUMN "has_failed" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "trials" ADD COLUMN "is_end_logged" boolean DEFAULT true NOT NULL;