ALTER TABLE "hosts" ADD COLUMN "desired_mode" text;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "desired_permit" jsonb;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "told_sequence" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "hosts" ADD COLUMN "capabilities" jsonb;--> statement-breakpoint
ALTER TABLE "pins" ADD COLUMN "is_permitted" boolean DEFAULT false NOT NULL;