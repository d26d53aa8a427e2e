ALTER TABLE "hosts" ADD COLUMN "last_labels" jsonb;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "last_time_zone" text;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "last_ring" text;